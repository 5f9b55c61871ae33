//! Arguments that several commands take.

use std::ffi::OsStr;

use clap::Arg;
use clap::builder::TypedValueParser;
use clap::error::ErrorKind;

use crate::config::EndpointUrl;
use crate::error::{Exit, Failure};

/// Reads an endpoint's URL. Clap would repeat a refused value, secret and all; this shows only what may be shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EndpointUrlParser;

impl TypedValueParser for EndpointUrlParser {
    type Value = EndpointUrl;

    fn parse_ref(&self, _: &clap::Command, argument: Option<&Arg>, value: &OsStr) -> Result<EndpointUrl, clap::Error> {
        let argument = argument.map_or_else(String::new, |argument| format!("{argument}: "));
        let url = EndpointUrl::parse(&value.to_string_lossy());
        url.map_err(|error| clap::Error::raw(ErrorKind::ValueValidation, format!("{argument}{error}")))
    }
}

/// `--from` and `--to`.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct BlockRange {
    /// Lowest block
    #[arg(long, value_name = "BLOCK")]
    pub from: u64,
    /// Highest block, included
    #[arg(long, value_name = "BLOCK")]
    pub to: u64,
}

impl BlockRange {
    /// The range, unless it is backwards or higher than any block can be.
    pub fn checked(self) -> Result<std::ops::RangeInclusive<u64>, Failure> {
        let BlockRange { from, to } = self;
        if from > to {
            return Err(Failure::new(
                Exit::BadRange,
                format!("--from {from} is above --to {to}: swap them"),
            ));
        }
        if to > decoders::id::MAX_BLOCK {
            let highest = decoders::id::MAX_BLOCK;
            return Err(Failure::new(
                Exit::BadRange,
                format!("--to {to} is above the highest block number, {highest}"),
            ));
        }
        Ok(from..=to)
    }
}
