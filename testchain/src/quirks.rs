//! An endpoint that is odd on purpose: what it answers to a method in place of the truth, by a function of the question and the true
//! answer. Faults hit answers at random; a quirk hits the same ones each time, as the habits of real servers do.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

/// What an endpoint answers to one call.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// A result.
    Result(Value),
    /// A result as JSON text, for what no [`Value`] holds: doubled members, numbers without bounds, depth.
    Text(String),
    /// A JSON-RPC error.
    Error {
        /// Its code.
        code: i32,
        /// Its message.
        message: String,
    },
    /// Neither a result nor an error.
    Nothing,
}

impl Reply {
    /// A JSON-RPC error.
    pub fn error(code: i32, message: impl Into<String>) -> Self {
        Reply::Error {
            code,
            message: message.into(),
        }
    }

    /// The reply with its result changed, if it has one.
    #[must_use]
    pub fn map(self, change: impl FnOnce(&mut Value)) -> Self {
        match self {
            Reply::Result(mut result) => {
                change(&mut result);
                Reply::Result(result)
            }
            other => other,
        }
    }
}

type Change = dyn Fn(&[Value], Reply) -> Reply + Send + Sync;

/// One habit of an endpoint.
#[derive(Clone)]
pub struct Quirk {
    method: String,
    change: Arc<Change>,
}

impl fmt::Debug for Quirk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quirk")
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

impl Quirk {
    /// Answers `method` with what `change` makes of the parameters and the true answer.
    pub fn new(method: impl Into<String>, change: impl Fn(&[Value], Reply) -> Reply + Send + Sync + 'static) -> Self {
        Quirk {
            method: method.into(),
            change: Arc::new(change),
        }
    }

    /// Answers every call of `method` like this.
    pub fn always(method: impl Into<String>, reply: Reply) -> Self {
        Quirk::new(method, move |_, _| reply.clone())
    }

    /// Answers calls of `method` that name a block by its hash like this.
    pub fn by_hash(method: impl Into<String>, reply: Reply) -> Self {
        Quirk::new(
            method,
            move |params, truth| {
                if names_hash(params) { reply.clone() } else { truth }
            },
        )
    }

    /// Changes every log object, with its place in the answer, in the results of `method`, which are logs or receipts.
    pub fn logs(method: impl Into<String>, change: impl Fn(usize, &mut Value) + Send + Sync + 'static) -> Self {
        Quirk::new(method, move |_, truth| {
            truth.map(|result| {
                let mut logs = Vec::new();
                gather(result, &mut logs);
                logs.into_iter().enumerate().for_each(|(place, log)| change(place, log));
            })
        })
    }

    /// Whether it concerns `method`.
    pub(crate) fn concerns(&self, method: &str) -> bool {
        self.method == method
    }

    pub(crate) fn apply(&self, params: &[Value], truth: Reply) -> Reply {
        (self.change)(params, truth)
    }
}

/// Whether the first parameter names a block by its hash.
fn names_hash(params: &[Value]) -> bool {
    match params.first() {
        Some(Value::String(text)) => text.len() == 66,
        Some(Value::Object(filter)) => filter.contains_key("blockHash"),
        _ => false,
    }
}

/// The log objects in a list of logs, in a receipt or in a list of receipts.
fn gather<'a>(value: &'a mut Value, logs: &mut Vec<&'a mut Value>) {
    if value.is_array() {
        let members = value.as_array_mut().into_iter().flatten();
        members.for_each(|member| gather(member, logs));
    } else if value.get("logs").is_some() {
        gather(&mut value["logs"], logs);
    } else if value.is_object() {
        logs.push(value);
    }
}
