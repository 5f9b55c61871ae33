//! Why a request brought no answer, over HTTP as over a WebSocket.

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Unsent {
    /// The answer is longer than the pool is willing to hold.
    TooLarge,
    /// Not connected, or the connection broke. The text may hold secrets.
    Network(String),
}

/// The error with its causes: the library's own text names none of them.
pub(crate) fn network(error: reqwest::Error) -> Unsent {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    Unsent::Network(text)
}
