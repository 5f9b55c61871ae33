//! The URL of an endpoint: a template whose variables are values for one part of the URL each.

use std::fmt;

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;

use super::value::{BLANK, has_blank, without_login};

/// Stays as it is in user, password and query values: RFC 3986's unreserved characters.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// Is encoded in a path. A value may hold several segments, as some providers' keys do; it never leaves the path.
const PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// The URL of an endpoint as an operator wrote it. `${NAME}` stands for an environment variable and is replaced only where
/// the daemon connects, so that a key reaches neither the file nor the registry. A value is taken as it is, not encoded already: what
/// is reserved in the part of the URL it stands in is percent-encoded (RFC 3986), so that it never ends up in another part, and
/// in a host it is refused. Shown as scheme and host only.
#[derive(Clone, PartialEq, Eq)]
pub struct EndpointUrl(String);

/// An endpoint URL that cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointUrlError {
    /// Not an HTTP or WebSocket URL.
    #[error(
        "{shown:?} is not a URL of the form http://…, https://…, ws://… or wss://… with a host, and a port from 1 to 65535 or none"
    )]
    Malformed {
        /// The URL without its secrets.
        shown: String,
    },
    /// A URL that a library would change or move to another host without a word.
    #[error("{shown:?} {reason}")]
    Unclear {
        /// The URL without its secrets.
        shown: String,
        /// What is wrong with it, and what to write.
        reason: &'static str,
    },
    /// `${` without a name and `}`.
    #[error("{shown:?} has a ${{ without a variable name of letters, digits and _ and a closing }}")]
    OpenVariable {
        /// The URL without its secrets.
        shown: String,
    },
    /// A variable that the process does not have, or an empty one.
    #[error("{shown} needs the environment variable {variable}, which is not set: set it for this process")]
    Unset {
        /// The URL without its secrets.
        shown: String,
        /// The variable's name.
        variable: String,
    },
    /// No place for the secret it is stated to hold.
    #[error("{shown}: auth_type is {missing}")]
    Auth {
        /// The URL without its secrets.
        shown: String,
        /// The kind, and what it misses.
        missing: &'static str,
    },
    /// A variable whose value cannot stand where the template puts it.
    #[error("{shown}: the environment variable {variable} {reason}")]
    Unfit {
        /// The URL without its secrets.
        shown: String,
        /// The variable's name.
        variable: String,
        /// What is wrong with its value, which is not shown.
        reason: &'static str,
    },
}

/// Where an endpoint's URL keeps its secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum AuthType {
    /// It has none.
    #[default]
    None,
    /// A key in the path or query.
    Url,
    /// User and password before the host.
    Basic,
}

/// The part of a URL a variable stands in, which decides how its value is written there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Scheme,
    Login,
    Host,
    Path,
    Query,
}

impl Part {
    /// The part in which a template's text at `at` stands. Delimiters are looked for in the template alone, so that no value can
    /// move them.
    fn at(template: &str, at: usize) -> Part {
        let Some(authority) = template
            .find("://")
            .map(|scheme| scheme + 3)
            .filter(|start| *start <= at)
        else {
            return Part::Scheme;
        };
        let end = template[authority..]
            .find(['/', '?', '#'])
            .map_or(template.len(), |length| authority + length);
        if at >= end {
            let is_query = template[end..at].contains(['?', '#']);
            return if is_query { Part::Query } else { Part::Path };
        }
        let is_login = template[authority..end]
            .rfind('@')
            .is_some_and(|sign| at < authority + sign);
        if is_login { Part::Login } else { Part::Host }
    }

    /// `value` written so that it stays within this part.
    fn write(self, value: &str) -> Result<String, &'static str> {
        if value.chars().any(char::is_control) {
            return Err("holds a control character, such as a line break at its end: set it without");
        }
        match self {
            Part::Scheme => Err("stands before ://: write the scheme out, such as https://"),
            Part::Host if value.chars().any(|c| !c.is_alphanumeric() && !"-._:[]".contains(c)) => {
                Err("stands for a host and holds other characters than a host or port has")
            }
            Part::Host => Ok(value.to_owned()),
            Part::Path => Ok(utf8_percent_encode(value, PATH).to_string()),
            Part::Login | Part::Query => Ok(utf8_percent_encode(value, VALUE).to_string()),
        }
    }
}

impl EndpointUrl {
    /// A URL template, checked with its variables standing in for themselves.
    ///
    /// # Errors
    /// What is wrong with it, without its secrets.
    pub fn parse(text: &str) -> Result<Self, EndpointUrlError> {
        let url = EndpointUrl(text.trim().to_owned());
        if let Some(reason) = url.unclear() {
            let shown = url.to_string();
            return Err(EndpointUrlError::Unclear { shown, reason });
        }
        let kept = EndpointUrl::kept(text)?;
        if kept.sample()?.port() == Some(0) || !kept.0.contains("://") {
            return Err(EndpointUrlError::Malformed {
                shown: kept.to_string(),
            });
        }
        Ok(kept)
    }

    /// A URL template as the registry keeps it: earlier releases added some that [`EndpointUrl::parse`] refuses, and a chain that is
    /// read through one is read on.
    ///
    /// # Errors
    /// It is no URL at all.
    pub fn kept(text: &str) -> Result<Self, EndpointUrlError> {
        let url = EndpointUrl(text.trim().to_owned());
        url.sample()?;
        Ok(url)
    }

    /// The URL with something in place of its variables. A number may stand for a port as well as for a name.
    fn sample(&self) -> Result<Url, EndpointUrlError> {
        self.expand(&|_| Some("1".to_owned()))
    }

    /// What stands in the URL that readers of it would mend by themselves, each in its own way.
    fn unclear(&self) -> Option<&'static str> {
        if has_blank(&self.0) {
            return Some(BLANK);
        }
        if self.0.contains('\\') {
            return Some("has a \\ in it: write / or %5C");
        }
        // More slashes would be skipped, and what follows them taken for the host.
        let (_, rest) = self.0.split_once("://")?;
        rest.starts_with('/').then_some("has no host behind its ://")
    }

    /// The URL to connect to, with every `${NAME}` replaced.
    ///
    /// # Errors
    /// The variable that is missing, empty, or cannot stand where it does; its value is not shown.
    pub fn expand(&self, variable: &dyn Fn(&str) -> Option<String>) -> Result<Url, EndpointUrlError> {
        let shown = || self.to_string();
        let mut text = String::with_capacity(self.0.len());
        let mut at = 0;
        while let Some(start) = self.0[at..].find("${").map(|before| at + before) {
            let after = &self.0[start + 2..];
            let name = after
                .split_once('}')
                .map(|(name, _)| name)
                .filter(|name| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'))
                .ok_or_else(|| EndpointUrlError::OpenVariable { shown: shown() })?;
            let value = variable(name)
                .filter(|value| !value.is_empty())
                .ok_or_else(|| EndpointUrlError::Unset {
                    shown: shown(),
                    variable: name.to_owned(),
                })?;
            let value = Part::at(&self.0, start).write(&value);
            let value = value.map_err(|reason| EndpointUrlError::Unfit {
                shown: shown(),
                variable: name.to_owned(),
                reason,
            })?;
            text.push_str(&self.0[at..start]);
            text.push_str(&value);
            at = start + 2 + name.len() + 1;
        }
        text.push_str(&self.0[at..]);
        let url = Url::parse(&text)
            .ok()
            .filter(|url| url.has_host() && matches!(url.scheme(), "http" | "https" | "ws" | "wss"));
        url.ok_or_else(|| EndpointUrlError::Malformed { shown: shown() })
    }

    /// Fails where the URL has no place for the secret that `auth` states it holds.
    ///
    /// # Errors
    /// What is missing.
    pub fn check_auth(&self, auth: AuthType) -> Result<(), EndpointUrlError> {
        let url = self.sample()?;
        let missing = match auth {
            AuthType::Basic if url.username().is_empty() => {
                "basic, but no user stands before the host (user:password@host)"
            }
            AuthType::Url if url.path().len() <= 1 && url.query().is_none() => "url, but it has neither path nor query",
            AuthType::None | AuthType::Basic | AuthType::Url => return Ok(()),
        };
        Err(EndpointUrlError::Auth {
            shown: self.to_string(),
            missing,
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
