//! Values with a meaning of their own: URLs that hold secrets, and numbers and names with bounds.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;

/// The URL of PostgreSQL, MongoDB or RabbitMQ. Shown without user and password.
#[derive(Clone, PartialEq, Eq)]
pub struct ServiceUrl(String);

impl ServiceUrl {
    /// A URL with one of `schemes`. The error names what is allowed and never the secret.
    pub fn parse(text: &str, schemes: &[&str]) -> Result<Self, String> {
        let known = text
            .split_once("://")
            .is_some_and(|(scheme, rest)| schemes.contains(&scheme) && !rest.is_empty());
        if known {
            Ok(ServiceUrl(text.to_owned()))
        } else {
            let allowed = schemes
                .iter()
                .map(|scheme| format!("{scheme}://…"))
                .collect::<Vec<_>>()
                .join(" or ");
            Err(format!("{:?} is not a URL of the form {allowed}", without_login(text)))
        }
    }

    /// The URL with its secret, for the client that connects.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&without_login(&self.0))
    }
}

impl fmt::Debug for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Drops what stands before the last `@` of the authority, and the query, which may hold a password too.
fn without_login(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    // A password may hold an unescaped slash, so the authority ends at the last `@`, not at the first `/`.
    let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
    if scheme.is_empty() {
        place.to_owned()
    } else {
        format!("{scheme}://{place}")
    }
}

/// Where the tables are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// PostgreSQL inside the process.
    Embedded,
    /// A PostgreSQL server.
    Server(ServiceUrl),
}

impl DatabaseUrl {
    /// `embedded` or a PostgreSQL URL.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "embedded" => Ok(DatabaseUrl::Embedded),
            url => ServiceUrl::parse(url, &["postgres", "postgresql"])
                .map(DatabaseUrl::Server)
                .map_err(|error| format!("{error}, nor \"embedded\"")),
        }
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DatabaseUrl::Embedded => f.write_str("embedded"),
            DatabaseUrl::Server(url) => fmt::Display::fmt(url, f),
        }
    }
}

impl Serialize for DatabaseUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DatabaseUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        DatabaseUrl::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// Schemes of a MongoDB URL.
pub(super) const MONGODB_SCHEMES: &[&str] = &["mongodb", "mongodb+srv"];
/// Schemes of a RabbitMQ URL.
pub(super) const AMQP_SCHEMES: &[&str] = &["amqp", "amqps"];

pub(super) fn mongodb<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ServiceUrl>, D::Error> {
    optional(&String::deserialize(deserializer)?, MONGODB_SCHEMES).map_err(D::Error::custom)
}

pub(super) fn amqp<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ServiceUrl>, D::Error> {
    optional(&String::deserialize(deserializer)?, AMQP_SCHEMES).map_err(D::Error::custom)
}

/// No URL where the text is empty.
pub(super) fn optional(text: &str, schemes: &[&str]) -> Result<Option<ServiceUrl>, String> {
    if text.is_empty() {
        Ok(None)
    } else {
        ServiceUrl::parse(text, schemes).map(Some)
    }
}

pub(super) fn show_optional<S: Serializer>(url: &Option<ServiceUrl>, serializer: S) -> Result<S::Ok, S::Error> {
    match url {
        Some(url) => serializer.collect_str(url),
        None => serializer.serialize_str(""),
    }
}

/// The URL of an endpoint as an operator wrote it. `${NAME}` stands for an environment variable and is replaced only where
/// the daemon connects, so that a key reaches neither the file nor the registry. Shown as scheme and host only.
#[derive(Clone, PartialEq, Eq)]
pub struct EndpointUrl(String);

/// An endpoint URL that cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointUrlError {
    /// Not an HTTP or WebSocket URL.
    #[error("{shown:?} is not a URL of the form http://…, https://…, ws://… or wss://…")]
    Malformed {
        /// The URL without its secrets.
        shown: String,
    },
    /// `${` without a name and `}`.
    #[error("{shown:?} has a ${{ without a variable name of letters, digits and _ and a closing }}")]
    OpenVariable {
        /// The URL without its secrets.
        shown: String,
    },
    /// A variable that the process does not have.
    #[error("{shown} needs the environment variable {variable}, which is not set")]
    Unset {
        /// The URL without its secrets.
        shown: String,
        /// The variable's name.
        variable: String,
    },
}

impl EndpointUrl {
    /// A URL template, checked with its variables standing in for themselves.
    pub fn parse(text: &str) -> Result<Self, EndpointUrlError> {
        let url = EndpointUrl(text.trim().to_owned());
        url.expand(&|_| Some("x".to_owned()))?;
        Ok(url)
    }

    /// The URL to connect to, with every `${NAME}` replaced.
    pub fn expand(&self, variable: &dyn Fn(&str) -> Option<String>) -> Result<Url, EndpointUrlError> {
        let mut text = String::with_capacity(self.0.len());
        let mut rest = self.0.as_str();
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after
                .split_once('}')
                .filter(|(name, _)| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'))
                .ok_or_else(|| EndpointUrlError::OpenVariable {
                    shown: self.to_string(),
                })?;
            let value = variable(name).ok_or_else(|| EndpointUrlError::Unset {
                shown: self.to_string(),
                variable: name.to_owned(),
            })?;
            text.push_str(before);
            text.push_str(&value);
            rest = after;
        }
        text.push_str(rest);
        let url = Url::parse(&text)
            .ok()
            .filter(|url| url.has_host() && matches!(url.scheme(), "http" | "https" | "ws" | "wss"));
        url.ok_or_else(|| EndpointUrlError::Malformed {
            shown: self.to_string(),
        })
    }

    /// The template as written, for the registry.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bare = without_login(&self.0);
        match bare.split_once("://") {
            Some((scheme, rest)) => match rest.split_once('/') {
                Some((host, "")) => write!(f, "{scheme}://{host}/"),
                Some((host, _)) => write!(f, "{scheme}://{host}/…"),
                None => write!(f, "{scheme}://{rest}"),
            },
            None => f.write_str("…"),
        }
    }
}

impl fmt::Debug for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for EndpointUrl {
    type Err = EndpointUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        EndpointUrl::parse(text)
    }
}

impl Serialize for EndpointUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EndpointUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        EndpointUrl::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// A whole number from `MIN` to `MAX`.
pub(super) fn within<'de, D, T, const MIN: u64, const MAX: u64>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    let number = i64::deserialize(deserializer)?;
    let allowed = u64::try_from(number).ok().filter(|number| (MIN..=MAX).contains(number));
    allowed
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| D::Error::custom(format!("{number} is out of range, allowed are {MIN} to {MAX}")))
}

/// [`within`], for a key that may be left out.
pub(super) fn some_within<'de, D, const MIN: u64, const MAX: u64>(deserializer: D) -> Result<Option<u32>, D::Error>
where
    D: Deserializer<'de>,
{
    within::<D, u32, MIN, MAX>(deserializer).map(Some)
}

pub(super) fn positive<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let number = f64::deserialize(deserializer)?;
    if number.is_finite() && number > 0.0 {
        Ok(number)
    } else {
        Err(D::Error::custom(format!(
            "{number} is out of range, allowed are numbers above zero"
        )))
    }
}

/// Refuses what is not 1 to 128 printable characters without space around them.
pub fn check_name(text: &str) -> Result<(), String> {
    let clean = text.trim() == text && !text.chars().any(char::is_control);
    if clean && (1..=128).contains(&text.chars().count()) {
        Ok(())
    } else {
        Err(format!(
            "{text:?} is not allowed here, write 1 to 128 printable characters"
        ))
    }
}

pub(super) fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    check_name(&text).map_err(D::Error::custom)?;
    Ok(text)
}

pub(super) fn standard<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    crate::registry::check_standard(&text).map_err(D::Error::custom)?;
    Ok(text)
}

pub(super) fn log_level<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    match tracing_subscriber::EnvFilter::builder().parse(&text) {
        Ok(_) => Ok(text),
        Err(error) => Err(D::Error::custom(format!(
            "{text:?} is no log filter ({error}), write error, warn, info, debug, trace, or such as \"info,indexer::follower=debug\""
        ))),
    }
}
