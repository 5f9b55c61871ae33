//! Values with a meaning of their own: URLs that hold secrets, and numbers and names with bounds.

use std::fmt;
use std::net::SocketAddr;

use alloy_primitives::Address;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sinks::publisher;
use sqlx::postgres::PgConnectOptions;
use url::Url;

use crate::archive;

/// A kind of server, as its URLs show it.
#[derive(Debug)]
pub struct Service {
    schemes: &'static [&'static str],
    /// A URL as an operator would write it.
    example: &'static str,
    /// Whether the client that connects can read a URL. What it finds wrong with one may repeat the password, so that is not shown.
    reads: fn(&str) -> bool,
}

/// PostgreSQL.
const POSTGRESQL: Service = Service {
    schemes: &["postgres", "postgresql"],
    example: "postgres://user:password@host:5432/indexer",
    reads: |url| url.parse::<PgConnectOptions>().is_ok(),
};
/// MongoDB.
pub(super) const MONGODB: Service = Service {
    schemes: &["mongodb", "mongodb+srv"],
    example: "mongodb://user:password@host:27017/?replicaSet=rs0",
    reads: archive::reads,
};
/// RabbitMQ.
pub(super) const RABBITMQ: Service = Service {
    schemes: &["amqp", "amqps"],
    example: "amqp://user:password@host:5672/%2f",
    reads: publisher::reads,
};

/// The URL of PostgreSQL, MongoDB or RabbitMQ. Shown without user and password.
#[derive(Clone, PartialEq, Eq)]
pub struct ServiceUrl(String);

impl ServiceUrl {
    /// A URL of `service` that its client can read. The error names what to write and never the secret.
    pub fn parse(text: &str, service: &Service) -> Result<Self, String> {
        // A line break at the end is what a variable filled from a file has.
        let text = text.trim();
        let shown = without_login(text);
        let known = text
            .split_once("://")
            .is_some_and(|(scheme, rest)| service.schemes.contains(&scheme) && !rest.is_empty());
        if !known {
            let schemes = service.schemes.iter().map(|scheme| format!("{scheme}://…"));
            let allowed = schemes.collect::<Vec<_>>().join(" or ");
            return Err(format!("{shown:?} is not a URL of the form {allowed}"));
        }
        if has_blank(text) {
            return Err(format!("{shown:?} {BLANK}"));
        }
        if Parts::of(text).is_some_and(|parts| parts.is_ambiguous) {
            return Err(format!(
                "{shown:?} has an @ behind its host: write / ? # and @ in user and password as %2F, %3F, %23 and %40"
            ));
        }
        if has_bad_port(text) {
            return Err(format!(
                "{shown:?} has a port that is none, write a number from 1 to 65535 or leave it out"
            ));
        }
        if !(service.reads)(text) {
            return Err(format!(
                "{shown:?} cannot be used (its login, host or options are malformed), write such as {}, with reserved characters of user \
                 and password percent-encoded",
                service.example
            ));
        }
        Ok(ServiceUrl(text.to_owned()))
    }

    /// Scheme, host and port alone: the path of some URLs names a database that is used for the login only.
    pub fn server(&self) -> String {
        let shown = without_login(&self.0);
        let path = shown
            .find("://")
            .and_then(|scheme| shown[scheme + 3..].find('/').map(|path| scheme + 3 + path));
        shown[..path.unwrap_or(shown.len())].to_owned()
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

/// What is wrong with a URL that has a blank, and what to write.
pub(super) const BLANK: &str = "has a blank or control character in it: remove it, or write a blank as %20";

/// Whether a URL holds what none may: it would be cut out, or encoded, without a word.
pub(super) fn has_blank(url: &str) -> bool {
    url.chars().any(|c| c.is_whitespace() || c.is_control())
}

/// What of a URL may be shown: its scheme, and host and path where it is certain which they are. The query may hold a password
/// too, and a text that is no URL may be one.
pub(super) fn without_login(url: &str) -> String {
    let Some(parts) = Parts::of(url) else {
        return "…".to_owned();
    };
    let scheme = parts.scheme;
    // What is no port may be a password behind which the host is missing; a variable may stand for one.
    if parts.is_ambiguous || ports(parts.host).any(|port| !is_port(port) && !port.contains("${")) {
        return format!("{scheme}://…");
    }
    format!("{scheme}://{}{}", parts.host, parts.path)
}

/// The parts of a URL that hold no secret.
struct Parts<'a> {
    scheme: &'a str,
    /// Host and port, or several of them.
    host: &'a str,
    path: &'a str,
    /// An `@` stands behind the host. It may belong to the path, or to a password with a `/`, `?` or `#` that is not encoded, and then
    /// what looks like a host is a part of the password.
    is_ambiguous: bool,
}

impl<'a> Parts<'a> {
    fn of(url: &'a str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let is_scheme = scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
        let (authority, behind) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        is_scheme.then(|| Parts {
            scheme,
            host: authority.rsplit_once('@').map_or(authority, |(_, host)| host),
            path: behind.split(['?', '#']).next().unwrap_or_default(),
            is_ambiguous: behind.contains('@'),
        })
    }
}

/// What stands for ports. MongoDB's URLs name several hosts, with a comma between them.
fn ports(hosts: &str) -> impl Iterator<Item = &str> {
    hosts.split(',').filter_map(|host| {
        // The colons of an IPv6 address stand in brackets.
        let after = host.rsplit_once(']').map_or(host, |(_, after)| after);
        after.rsplit_once(':').map(|(_, port)| port)
    })
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok_and(|port| port > 0)
}

fn has_bad_port(url: &str) -> bool {
    Parts::of(url).is_some_and(|parts| ports(parts.host).any(|port| !is_port(port)))
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
        match text.trim() {
            "embedded" => Ok(DatabaseUrl::Embedded),
            url => ServiceUrl::parse(url, &POSTGRESQL)
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

pub(super) fn mongodb<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ServiceUrl>, D::Error> {
    optional(&String::deserialize(deserializer)?, &MONGODB).map_err(D::Error::custom)
}

pub(super) fn amqp<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ServiceUrl>, D::Error> {
    optional(&String::deserialize(deserializer)?, &RABBITMQ).map_err(D::Error::custom)
}

/// No URL where the text is empty.
pub(super) fn optional(text: &str, service: &Service) -> Result<Option<ServiceUrl>, String> {
    if text.trim().is_empty() {
        Ok(None)
    } else {
        ServiceUrl::parse(text, service).map(Some)
    }
}

pub(super) fn show_optional<S: Serializer>(url: &Option<ServiceUrl>, serializer: S) -> Result<S::Ok, S::Error> {
    match url {
        Some(url) => serializer.collect_str(url),
        None => serializer.serialize_str(""),
    }
}

/// A whole number from `MIN` to `MAX`.
pub(super) fn within<'de, D, T, const MIN: u64, const MAX: u64>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    let number = i64::deserialize(deserializer)
        .map_err(|_| D::Error::custom(format!("write a whole number from {MIN} to {MAX}")))?;
    let allowed = u64::try_from(number).ok().filter(|number| (MIN..=MAX).contains(number));
    allowed
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| D::Error::custom(format!("{number} is out of range, allowed are {MIN} to {MAX}")))
}

/// [`within`], for a key that may be left out.
pub(super) fn some_within<'de, D, T, const MIN: u64, const MAX: u64>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    within::<D, T, MIN, MAX>(deserializer).map(Some)
}

/// A value written as text, with what to write where the text is none.
fn parsed<'de, D, T>(deserializer: D, advice: &str) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: std::str::FromStr,
{
    let text = String::deserialize(deserializer).map_err(|_| D::Error::custom(format!("write {advice}")))?;
    text.parse()
        .map_err(|_| D::Error::custom(format!("{text:?} is none, write {advice}")))
}

pub(super) fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Address, D::Error> {
    parsed(deserializer, "a contract's address: 0x and 40 hexadecimal digits")
}

pub(super) fn listen<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    parsed(deserializer, "an address and port such as \"127.0.0.1:8080\"")
}

pub(super) fn page<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Url>, D::Error> {
    parsed(deserializer, "a URL such as \"https://etherscan.io\"").map(Some)
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

/// Refuses what cannot name a standard. The registry takes any such name, so that a new standard needs no migration.
pub fn check_standard(text: &str) -> Result<(), String> {
    let clean = text
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if clean && (1..=32).contains(&text.len()) {
        Ok(())
    } else {
        Err(format!(
            "{text:?} is no name of a standard, write such as erc721, erc1155, erc20, cryptopunks, proxy or custom"
        ))
    }
}

pub(super) fn standard<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    check_standard(&text).map_err(D::Error::custom)?;
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
