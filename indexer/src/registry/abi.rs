//! ABI files: read, checked, put into one canonical form, named by its SHA-256.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::error::RegistryError;

/// No known contract's ABI comes near; a larger file is not an ABI.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// An ABI as kept in `abi_blobs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Abi {
    /// SHA-256 of [`Abi::json`], 64 lower-case hexadecimal digits: the blob's key.
    pub sha256: String,
    /// The ABI's entries as JSON without spaces and with sorted keys, so that formatting does not make another blob.
    pub json: String,
    /// Number of events.
    pub events: usize,
    /// Number of functions.
    pub functions: usize,
}

impl Abi {
    /// Reads a JSON file: an array of entries, or a compiler's artifact with such an array under `abi`.
    pub fn read(path: &Path) -> Result<Self, RegistryError> {
        let shown = path.display();
        let refuse = |cause: String| RegistryError::Refused(format!("ABI file {shown}: {cause}"));
        let size = std::fs::metadata(path)
            .map_err(|error| refuse(error.to_string()))?
            .len();
        if size > MAX_BYTES {
            return Err(refuse(format!("{size} bytes are too many, allowed are {MAX_BYTES}")));
        }
        let text = std::fs::read_to_string(path).map_err(|error| refuse(error.to_string()))?;
        Abi::parse(&text).map_err(refuse)
    }

    /// Reads JSON text; the error states what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
        let entries = match value {
            Value::Array(entries) => Value::Array(entries),
            Value::Object(mut artifact) => match artifact.remove("abi") {
                Some(entries @ Value::Array(_)) => entries,
                _ => return Err("an object without an array under \"abi\"".to_owned()),
            },
            _ => return Err("neither an array of ABI entries nor an object with one under \"abi\"".to_owned()),
        };
        // serde_json keeps the keys of objects sorted.
        let json = entries.to_string();
        // Only events are decoded, so functions need not be what today's compilers write of them.
        let kinds: Vec<String> = Vec::<Kind>::deserialize(&entries)
            .map_err(|error| format!("not an ABI: {error}"))?
            .into_iter()
            .map(|entry| entry.kind)
            .collect();
        let count = |wanted: &str| kinds.iter().filter(|kind| *kind == wanted).count();
        let (events, functions) = (count("event"), count("function"));
        if events + functions == 0 {
            return Err("no event and no function in it".to_owned());
        }
        if events > 0 {
            // What cannot decode a log is reported here, where somebody reads it.
            decoders::dynamic::stored::Abi::parse(&entries).map_err(|error| error.to_string())?;
        }
        Ok(Abi {
            sha256: alloy_primitives::hex::encode(Sha256::digest(json.as_bytes())),
            json,
            events,
            functions,
        })
    }
}

/// What an entry of an ABI describes; the first compilers left it out of functions.
#[derive(Deserialize)]
struct Kind {
    #[serde(default = "function", rename = "type")]
    kind: String,
}

fn function() -> String {
    "function".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRANSFER: &str =
        r#"[{"type":"event","name":"Ping","anonymous":false,"inputs":[{"name":"a","type":"address","indexed":true}]}]"#;

    #[test]
    fn formatting_and_key_order_do_not_make_another_blob() {
        let reordered = r#"{ "contractName": "X", "abi": [ { "inputs": [ { "type": "address", "indexed": true, "name": "a" } ],
            "anonymous": false, "name": "Ping", "type": "event" } ] }"#;
        let (one, other) = (Abi::parse(TRANSFER).unwrap(), Abi::parse(reordered).unwrap());
        assert_eq!(one, other);
        assert_eq!((one.events, one.functions, one.sha256.len()), (1, 0, 64));
    }

    #[test]
    fn members_that_mean_nothing_by_their_absence_may_be_absent() {
        for text in [
            r#"[{"type":"event","name":"Ping","inputs":[{"name":"a","type":"address"}]}]"#,
            r#"[{"type":"event","name":"Ping","anonymous":null,"inputs":[{"name":null,"type":"address","indexed":null,"components":null}]}]"#,
            r#"[{"type":"event","name":"Ping"},{"name":"get","constant":true,"payable":false,"inputs":[]}]"#,
            r#"[{"type":"event","name":"Ping","inputs":null},{"type":"constructor"},{"type":"fallback","payable":true}]"#,
        ] {
            assert_eq!(Abi::parse(text).map(|abi| abi.events), Ok(1), "{text}");
        }
    }

    #[test]
    fn what_is_no_abi_is_refused_with_the_reason() {
        for (text, reason) in [
            ("{", "not JSON"),
            ("3", "neither an array"),
            ("{\"abi\": 3}", "without an array under"),
            ("[]", "no event and no function"),
            (
                r#"[{"type":"event","name":"X","inputs":[{"name":"a","type":"no such type!"}],"anonymous":false}]"#,
                "no type",
            ),
            ("[3]", "not an ABI"),
            (r#"[{"type":3,"name":"X"}]"#, "not an ABI"),
        ] {
            let error = Abi::parse(text).unwrap_err();
            assert!(error.contains(reason), "{text} gave {error}");
        }
    }
}
