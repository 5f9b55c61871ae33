//! A JSON-RPC error.

use std::borrow::Cow;

use crate::encode;
use crate::quirks::Reply;

/// The error object of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    code: i32,
    message: Cow<'static, str>,
    /// JSON.
    data: Option<String>,
}

impl Refusal {
    pub(crate) fn new(code: i32, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
            data: None,
        }
    }

    /// The refusal as a quirk sees it.
    pub(crate) fn into_reply(self) -> Reply {
        Reply::error(self.code, self.message)
    }

    /// Adds `data`, given as JSON.
    pub(crate) fn with_data(mut self, data: String) -> Self {
        self.data = Some(data);
        self
    }

    pub(crate) fn parse_error() -> Self {
        Self::new(-32700, "parse error")
    }

    pub(crate) fn invalid_request(reason: &'static str) -> Self {
        Self::new(-32600, reason)
    }

    pub(crate) fn unknown_method(method: &str) -> Self {
        Self::new(-32601, format!("the method {method} does not exist/is not available"))
    }

    pub(crate) fn invalid_argument(index: usize, reason: impl std::fmt::Display) -> Self {
        Self::new(-32602, format!("invalid argument {index}: {reason}"))
    }

    pub(crate) fn missing_argument(index: usize) -> Self {
        Self::new(-32602, format!("missing value for required argument {index}"))
    }

    pub(crate) fn rate_limited() -> Self {
        Self::new(-32005, "daily request count exceeded, request rate limited")
    }

    pub(crate) fn internal() -> Self {
        Self::new(-32603, "internal error")
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"code\":");
        out.extend_from_slice(self.code.to_string().as_bytes());
        out.extend_from_slice(b",\"message\":");
        encode::text(out, &self.message);
        if let Some(data) = &self.data {
            out.extend_from_slice(b",\"data\":");
            out.extend_from_slice(data.as_bytes());
        }
        out.push(b'}');
    }
}
