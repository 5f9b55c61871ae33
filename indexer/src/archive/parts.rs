//! Values that one MongoDB document cannot hold, cut into documents of their own.
//!
//! A part is named by its content: writing it twice changes nothing, and no branch of a chain takes a part away from another. A
//! document names the parts in place of the value.

use alloy_primitives::keccak256;
use mongodb::bson::raw::{RawBson, cstr};
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, RawArrayBuf, RawBsonRef, RawDocument, RawDocumentBuf, doc};
use mongodb::{Collection, Database};

use super::error::ArchiveError;
use super::mongo_error::duplicates;
use super::mongo_operation::in_time;

/// The collection's name.
const COLLECTION: &str = "raw_parts";
/// Longest text that stays in its document, which holds 16 MiB together with what is noted in it later.
const WHOLE: usize = 4 << 20;
/// Length of a part.
const PART: usize = 8 << 20;
/// The values that may be cut: what a chain holds, as `0x` text.
const CUT: [&str; 3] = ["data", "input", "returned"];

/// The collection of parts.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    parts: Collection<RawDocumentBuf>,
}

impl Parts {
    pub(super) fn new(database: &Database) -> Self {
        Parts {
            parts: database.collection(COLLECTION),
        }
    }

    /// `document` with what is too large for it written into parts.
    pub(super) async fn cut(&self, document: RawDocumentBuf) -> Result<RawDocumentBuf, ArchiveError> {
        if document.as_bytes().len() <= WHOLE {
            return Ok(document);
        }
        let mut cut = RawDocumentBuf::new();
        for element in &document {
            let (name, value) = element.map_err(|error| ArchiveError::Refused(error.to_string()))?;
            match value {
                RawBsonRef::String(text) if text.len() > WHOLE && CUT.contains(&name.as_str()) => {
                    cut.append(name, self.write(text).await?);
                }
                value => cut.append(name, value),
            }
        }
        Ok(cut)
    }

    /// Writes `text` in parts, and returns what names them.
    async fn write(&self, text: &str) -> Result<RawDocumentBuf, ArchiveError> {
        let mut names = RawArrayBuf::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (part, behind) = rest.split_at_checked(PART).unwrap_or((rest, ""));
            rest = behind;
            let name = RawBson::Binary(name_of(part));
            let mut document = RawDocumentBuf::new();
            document.append(cstr!("_id"), name.clone());
            document.append(cstr!("text"), part);
            match in_time(self.parts.insert_many([document]).ordered(false)).await {
                Ok(_) => {}
                Err(ArchiveError::Mongo(error)) => duplicates(&error).map(drop).ok_or(error)?,
                Err(error) => return Err(error),
            }
            names.push(name);
        }
        let mut named = RawDocumentBuf::new();
        named.append(cstr!("parts"), names);
        Ok(named)
    }

    /// `document` with its parts put back; `None` where it names none, or one that is gone.
    pub(super) async fn join(&self, document: &RawDocument) -> Result<Option<RawDocumentBuf>, ArchiveError> {
        let named = |name: &str| matches!(document.get(name), Ok(Some(RawBsonRef::Document(_))));
        if !CUT.into_iter().any(named) {
            return Ok(None);
        }
        let mut whole = RawDocumentBuf::new();
        for element in document {
            let Ok((name, value)) = element else { return Ok(None) };
            match value {
                RawBsonRef::Document(parts) if CUT.contains(&name.as_str()) => match self.read(parts).await? {
                    Some(text) => whole.append(name, text.as_str()),
                    None => return Ok(None),
                },
                value => whole.append(name, value),
            }
        }
        Ok(Some(whole))
    }

    async fn read(&self, named: &RawDocument) -> Result<Option<String>, ArchiveError> {
        let Ok(names) = named.get_array("parts") else {
            return Ok(None);
        };
        let mut text = String::new();
        for name in names {
            let Ok(RawBsonRef::Binary(name)) = name else {
                return Ok(None);
            };
            let part = in_time(self.parts.find_one(doc! { "_id": name.to_binary() })).await?;
            let Some(part) = part.as_ref().and_then(|part| part.get_str("text").ok()) else {
                return Ok(None);
            };
            text.push_str(part);
        }
        Ok(Some(text))
    }
}

fn name_of(part: &str) -> Binary {
    Binary {
        subtype: BinarySubtype::Generic,
        bytes: keccak256(part).to_vec(),
    }
}
