//! Keeping the secrets of URLs out of everything a person or a log can read.

use percent_encoding::percent_decode_str;
use url::Url;

/// Longest text of an endpoint that is repeated anywhere.
const LONGEST: usize = 200;
/// Path segments and query values shorter than this (`v2`, `rpc`, `eth`) are no secrets, and blanking them would blank prose.
const SHORTEST_SECRET: usize = 6;

/// The URL as it may be shown: scheme and host (and port, when given), nothing of user, path or query.
pub fn redacted(url: &Url) -> String {
    let host = url.host_str().unwrap_or("?");
    match url.port() {
        Some(port) => format!("{}://{host}:{port}", url.scheme()),
        None => format!("{}://{host}", url.scheme()),
    }
}

/// Blanks an endpoint's secrets in texts that come from it or from the network library.
#[derive(Clone)]
pub(super) struct Redactor {
    secrets: Vec<String>,
}

impl Redactor {
    pub(super) fn new(url: &Url) -> Self {
        let mut secrets = vec![url.as_str().to_owned()];
        secrets.extend(url.password().map(str::to_owned));
        secrets.push(url.username().to_owned());
        secrets.extend(url.path_segments().into_iter().flatten().map(str::to_owned));
        secrets.extend(url.query_pairs().map(|(_, value)| value.into_owned()));
        secrets.extend(url.query().map(str::to_owned));
        // An endpoint may repeat a key as it understood it.
        let decoded: Vec<String> = secrets
            .iter()
            .map(|secret| percent_decode_str(secret).decode_utf8_lossy().into_owned())
            .collect();
        secrets.extend(decoded);
        secrets.retain(|secret| secret.len() >= SHORTEST_SECRET);
        // The longest first, so that a secret inside another leaves no rest behind.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Redactor { secrets }
    }

    /// One printable line of at most 200 characters without the secrets.
    pub(super) fn clean(&self, text: &str) -> String {
        // A hostile endpoint may send megabytes; what is shown comes from the first few kilobytes.
        let head: String = text.chars().take(LONGEST * 10).collect();
        let mut clean = head;
        for secret in &self.secrets {
            if clean.contains(secret.as_str()) {
                clean = clean.replace(secret.as_str(), "…");
            }
        }
        let mut line: String = clean
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(LONGEST)
            .collect::<String>()
            .trim()
            .to_owned();
        if clean.chars().count() > LONGEST {
            line.push('…');
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_scheme_and_host_are_shown() {
        for (url, shown) in [
            (
                "https://eth-mainnet.g.alchemy.com/v2/SECRETSECRET",
                "https://eth-mainnet.g.alchemy.com",
            ),
            (
                "https://user:hunter2hunter2@node.example:8545/?apikey=SECRET",
                "https://node.example:8545",
            ),
            ("wss://mainnet.infura.io/ws/v3/SECRET#frag", "wss://mainnet.infura.io"),
            ("http://127.0.0.1:8545", "http://127.0.0.1:8545"),
        ] {
            assert_eq!(redacted(&Url::parse(url).unwrap()), shown);
        }
    }

    #[test]
    fn secrets_in_foreign_texts_are_blanked() {
        let url = Url::parse("https://user:hunter2hunter2@node.example/v2/S3CRETKEY?token=T0PS3CRET").unwrap();
        let redactor = Redactor::new(&url);
        for text in [
            "error sending request for url (https://user:hunter2hunter2@node.example/v2/S3CRETKEY?token=T0PS3CRET)",
            "invalid api key S3CRETKEY",
            "token T0PS3CRET unknown\u{7}\n",
            "hunter2hunter2",
        ] {
            let clean = redactor.clean(text);
            for secret in ["hunter2", "S3CRETKEY", "T0PS3CRET", "\n", "\u{7}"] {
                assert!(!clean.contains(secret), "{clean}");
            }
        }
        assert!(redactor.clean(&"x".repeat(10_000)).chars().count() <= LONGEST + 1);
    }

    #[test]
    fn an_encoded_secret_is_blanked_as_it_was_before_it_was_encoded() {
        let url = Url::parse("https://user:p%40s%3As%2Fw%23rd%25@node.example/key%20with%20space").unwrap();
        let redactor = Redactor::new(&url);
        for text in ["wrong password p@s:s/w#rd% for user", "no key with space"] {
            let clean = redactor.clean(text);
            assert!(!clean.contains("w#rd") && !clean.contains("with space"), "{clean}");
        }
    }

    #[test]
    fn settings_do_not_show_their_url() {
        let settings = crate::EndpointSettings {
            id: 1,
            url: Url::parse("https://node.example/v2/S3CRETKEY").unwrap(),
            priority: 0,
            weight: 1,
            rate_limit: None,
        };
        assert!(!format!("{settings:?}").contains("S3CRETKEY"));
    }
}
