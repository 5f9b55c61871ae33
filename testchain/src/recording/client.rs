//! A patient JSON-RPC client: batches, retries, falls back to single calls where batches are refused.

use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::RecordingError;

const ATTEMPTS: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Method and parameters (as JSON) of one call.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    method: &'static str,
    params: String,
}

impl Ask {
    pub(crate) fn new(method: &'static str, params: impl serde::Serialize) -> Result<Self, RecordingError> {
        Ok(Self {
            method,
            params: serde_json::to_string(&params)?,
        })
    }
}

/// The answer to one call.
#[derive(Debug)]
pub(crate) enum Answer {
    Result(Box<RawValue>),
    /// The node does not know the method.
    Unsupported,
    /// The node reports there is nothing.
    Nothing,
}

#[derive(Debug, Deserialize)]
struct Response {
    id: Option<usize>,
    result: Option<Box<RawValue>>,
    error: Option<Refusal>,
}

#[derive(Debug, Deserialize)]
struct Refusal {
    code: i64,
    message: String,
}

impl Refusal {
    fn is_unsupported(&self) -> bool {
        self.code == -32601
    }
}

#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    url: String,
    batches: bool,
}

impl Client {
    pub(crate) fn new(url: &str) -> Result<Self, RecordingError> {
        let http = reqwest::Client::builder()
            .timeout(REQUEST_TIMEOUT)
            .build()
            .map_err(failed)?;
        Ok(Self {
            http,
            url: url.to_owned(),
            batches: true,
        })
    }

    /// Asks one thing that must have an answer.
    pub(crate) async fn ask(&mut self, ask: Ask) -> Result<Answer, RecordingError> {
        let mut answers = self.ask_all(std::slice::from_ref(&ask)).await?;
        answers
            .pop()
            .ok_or_else(|| RecordingError::Endpoint(format!("{} was not answered", ask.method)))
    }

    /// Asks several things at once; answers come in the order asked.
    pub(crate) async fn ask_all(&mut self, asks: &[Ask]) -> Result<Vec<Answer>, RecordingError> {
        let mut pause = FIRST_PAUSE;
        let mut attempt = 1;
        loop {
            let error = match self.attempt(asks).await {
                Ok(answers) => return Ok(answers),
                Err(error) => error,
            };
            if attempt == ATTEMPTS {
                return Err(RecordingError::Endpoint(error));
            }
            tracing::debug!(attempt, error, "asking again");
            // An endpoint that answers single calls but no batches shows it by failing the batch.
            if attempt == ATTEMPTS / 2 && asks.len() > 1 {
                self.batches = false;
            }
            attempt += 1;
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }

    async fn attempt(&self, asks: &[Ask]) -> Result<Vec<Answer>, String> {
        if self.batches && asks.len() > 1 {
            return self.batch(asks).await;
        }
        let mut answers = Vec::with_capacity(asks.len());
        for ask in asks {
            let body = self.post(call(0, ask)).await?;
            let response: Response = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
            answers.push(read(response)?);
        }
        Ok(answers)
    }

    async fn batch(&self, asks: &[Ask]) -> Result<Vec<Answer>, String> {
        let calls: Vec<String> = asks.iter().enumerate().map(|(id, ask)| call(id, ask)).collect();
        let body = self.post(format!("[{}]", calls.join(","))).await?;
        let responses: Vec<Response> = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
        let mut answers: Vec<Option<Answer>> = Vec::new();
        answers.resize_with(asks.len(), || None);
        for response in responses {
            let slot = response
                .id
                .and_then(|id| answers.get_mut(id))
                .ok_or("an answer to nothing asked")?;
            *slot = Some(read(response)?);
        }
        let whole: Option<Vec<Answer>> = answers.into_iter().collect();
        whole.ok_or_else(|| "part of a batch was not answered".to_owned())
    }

    async fn post(&self, body: String) -> Result<Vec<u8>, String> {
        // URLs may hold keys, so they stay out of messages.
        let words = |error: reqwest::Error| error.without_url().to_string();
        let request = self
            .http
            .post(&self.url)
            .header("content-type", "application/json")
            .body(body);
        let response = request
            .send()
            .await
            .and_then(reqwest::Response::error_for_status)
            .map_err(words)?;
        Ok(response.bytes().await.map_err(words)?.into())
    }
}

fn failed(error: reqwest::Error) -> RecordingError {
    RecordingError::Endpoint(error.without_url().to_string())
}

fn call(id: usize, ask: &Ask) -> String {
    format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"{}\",\"params\":{}}}",
        ask.method, ask.params
    )
}

fn read(response: Response) -> Result<Answer, String> {
    match response {
        Response {
            error: Some(refusal), ..
        } if refusal.is_unsupported() => Ok(Answer::Unsupported),
        Response {
            error: Some(refusal), ..
        } => Err(format!("{} (code {})", refusal.message, refusal.code)),
        Response {
            result: Some(result), ..
        } if result.get() != "null" => Ok(Answer::Result(result)),
        _ => Ok(Answer::Nothing),
    }
}

/// Parameters for a call that takes a height.
pub(crate) fn height(number: u64) -> String {
    format!("{number:#x}")
}
