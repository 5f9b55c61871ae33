//! The methods: from a request body to the bytes of its answer.

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes};
use serde::Deserialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::counters::{self, Counters};
use super::logs;
use super::request::{BlockId, Body, Call, Params};
use super::state::{self, State};
use super::view::View;
use crate::block::Block;
use crate::encode;
use crate::faults::{Failure, Faults, Settings};
use crate::ledger::Ledger;
use crate::limits::{BatchRefusal, WholeRefusal};
use crate::quirks::Reply;
use crate::refusal::Refusal;

/// What every connection of one server shares.
pub(crate) struct Service {
    pub(crate) view: View,
    pub(crate) faults: Arc<Faults>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) cancel: CancellationToken,
    state: Arc<dyn State>,
}

/// The outcome of one request.
#[derive(Debug)]
pub(crate) enum Turn {
    /// The body to send.
    Answer(Vec<u8>),
    /// A body that refuses, and the HTTP status it goes under.
    Refused(u16, Vec<u8>),
    /// The request fails as a whole, in a way the transport has to act out.
    Failed(Failure),
}

impl Service {
    pub(crate) fn new(
        ledger: Ledger,
        faults: Arc<Faults>,
        state: Arc<dyn State>,
        counters: Arc<Counters>,
        cancel: CancellationToken,
    ) -> Self {
        let view = View::new(ledger, faults.clone());
        Self {
            view,
            faults,
            counters,
            cancel,
            state,
        }
    }

    /// Answers a request after the faults were applied.
    pub(crate) async fn turn(&self, body: &[u8]) -> Turn {
        let settings = self.faults.settings();
        let delay = self.faults.delay(&settings);
        // The delay comes before the failure: a slow endpoint fails slowly.
        if !delay.is_zero() && self.stopped_within(delay).await {
            return Turn::Failed(Failure::Timeout);
        }
        let parsed = Body::parse(body);
        // A batch counts as its calls, as the rate limits of providers count it.
        let calls = parsed.as_ref().map_or(1, Body::calls);
        let failure = self.faults.failure(&settings, calls);
        if failure.is_some() {
            counters::add(&self.counters.failures, 1);
        }
        match failure {
            Some(Failure::Timeout) => {
                // Never answered until the server stops: the client has to give up on its own.
                self.cancel.cancelled().await;
                Turn::Failed(Failure::Timeout)
            }
            Some(failure @ (Failure::TooManyRequests | Failure::Status(_))) => Turn::Failed(failure),
            Some(Failure::RateLimited) => Turn::Answer(self.refuse_all(parsed, &Refusal::rate_limited())),
            Some(Failure::Internal) => Turn::Answer(self.refuse_all(parsed, &Refusal::internal())),
            Some(Failure::Malformed) => {
                let mut answer = self.answer(parsed, &settings);
                answer.truncate(answer.len() / 2);
                Turn::Answer(answer)
            }
            None => self.answer_within(parsed, &settings),
        }
    }

    /// Answers a body whose batch may be longer than the endpoint takes.
    fn answer_within(&self, body: Result<Body<'_>, Refusal>, settings: &Settings) -> Turn {
        let limit = settings.limits.batch.unwrap_or(usize::MAX);
        let mut calls = match body {
            Ok(Body::Batch(calls)) if calls.len() > limit => calls,
            body => return Turn::Answer(self.answer(body, settings)),
        };
        counters::add(&self.counters.refused_batches, 1);
        let way = settings.limits.batch_refusal;
        if let Some((status, body)) = way.whole() {
            let mut out = Vec::new();
            match body {
                WholeRefusal::Json(refusal) => write_refusal(&mut out, "null", &refusal),
                WholeRefusal::Text(text) => out.extend_from_slice(text.as_bytes()),
            }
            return Turn::Refused(status, out);
        }
        let mut out = Vec::new();
        // Providers refuse batches in these ways, each of which a client has to notice.
        if way == BatchRefusal::FirstAlone {
            calls.truncate(1);
            calls
                .into_iter()
                .for_each(|call| self.answer_parsed(call, settings, &mut out));
            return Turn::Answer(out);
        }
        if way == BatchRefusal::Cut {
            calls.truncate(limit);
        }
        encode::array(&mut out, calls.into_iter().enumerate(), |out, (place, call)| {
            let call = match call {
                Ok(call) if place >= limit => return write_refusal(out, call.id.get(), &Refusal::internal()),
                call => call,
            };
            self.answer_parsed(call, settings, out);
        });
        Turn::Answer(out)
    }

    fn answer_parsed(&self, call: Result<Call<'_>, Refusal>, settings: &Settings, out: &mut Vec<u8>) {
        match call {
            Ok(call) => self.answer_call(&call, settings, out),
            Err(refusal) => write_refusal(out, "null", &refusal),
        }
    }

    async fn stopped_within(&self, delay: std::time::Duration) -> bool {
        tokio::time::timeout(delay, self.cancel.cancelled()).await.is_ok()
    }

    fn answer(&self, body: Result<Body<'_>, Refusal>, settings: &Settings) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        match body {
            Ok(Body::One(call)) => self.answer_call(&call, settings, &mut out),
            Ok(Body::Batch(mut calls)) => {
                if settings.shuffle_batches {
                    calls.reverse();
                }
                encode::array(&mut out, calls, |out, call| self.answer_parsed(call, settings, out));
            }
            Err(refusal) => write_refusal(&mut out, "null", &refusal),
        }
        out
    }

    fn refuse_all(&self, body: Result<Body<'_>, Refusal>, refusal: &Refusal) -> Vec<u8> {
        let mut out = Vec::new();
        match body {
            Ok(Body::Batch(calls)) => encode::array(&mut out, calls, |out, call| {
                write_refusal(out, call.as_ref().map_or("null", |call| call.id.get()), refusal);
            }),
            body => {
                let id = match &body {
                    Ok(Body::One(call)) => call.id.get(),
                    _ => "null",
                };
                write_refusal(&mut out, id, refusal);
            }
        }
        out
    }

    fn answer_call(&self, call: &Call<'_>, settings: &Settings, out: &mut Vec<u8>) {
        self.counters.count_call(&call.method);
        let start = out.len();
        open(out, call.id.get());
        out.extend_from_slice(b"\"result\":");
        let asked = Question {
            service: self,
            settings,
            lies: self.faults.lies_now(settings),
        };
        // Written in place: an answer may be large, and only an endpoint with quirks takes it apart again.
        let result = out.len();
        let mut answer = asked.answer(call, out);
        let quirks = settings.quirks.iter().filter(|quirk| quirk.concerns(&call.method));
        for quirk in quirks {
            let truth = match answer {
                Ok(()) => serde_json::from_slice(&out[result..]).map_or(Reply::Nothing, Reply::Result),
                Err(refusal) => refusal.into_reply(),
            };
            out.truncate(result);
            let params: Vec<Value> = serde_json::from_str(call.params.get()).unwrap_or_default();
            answer = match quirk.apply(&params, truth) {
                Reply::Result(value) => {
                    out.extend_from_slice(value.to_string().as_bytes());
                    Ok(())
                }
                Reply::Text(text) => {
                    out.extend_from_slice(text.as_bytes());
                    Ok(())
                }
                Reply::Error { code, message } => Err(Refusal::new(code, message)),
                Reply::Nothing => {
                    // What was written of the result is taken back: an error stands alone.
                    out.truncate(start);
                    open(out, call.id.get());
                    out.pop();
                    answer = Ok(());
                    break;
                }
            };
        }
        match answer {
            Ok(()) => out.push(b'}'),
            Err(refusal) => {
                out.truncate(start);
                write_refusal(out, call.id.get(), &refusal);
            }
        }
    }
}

fn open(out: &mut Vec<u8>, id: &str) {
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    out.extend_from_slice(id.as_bytes());
    out.push(b',');
}

/// Appends a whole answer with a result given as JSON.
pub(crate) fn write_result(out: &mut Vec<u8>, id: &str, result: &str) {
    open(out, id);
    out.extend_from_slice(b"\"result\":");
    out.extend_from_slice(result.as_bytes());
    out.push(b'}');
}

/// Appends a whole answer with an error.
pub(crate) fn write_refusal(out: &mut Vec<u8>, id: &str, refusal: &Refusal) {
    open(out, id);
    out.extend_from_slice(b"\"error\":");
    refusal.write(out);
    out.push(b'}');
}

#[derive(Debug, Deserialize)]
struct CallObject {
    to: Option<Address>,
    input: Option<Bytes>,
    data: Option<Bytes>,
}

/// One call being answered, under the settings it came in with.
struct Question<'a> {
    service: &'a Service,
    settings: &'a Settings,
    lies: bool,
}

impl Question<'_> {
    fn answer(&self, call: &Call<'_>, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let method = &*call.method;
        if self.settings.missing_methods.iter().any(|missing| missing == method) {
            return Err(Refusal::unknown_method(method));
        }
        // After the method is known to exist: a missing method is missing always, not at random.
        if self.service.faults.call_fails(self.settings, method) {
            return Err(Refusal::internal());
        }
        let params = Params::parse(call.params)?;
        match method {
            "eth_chainId" => encode::quantity(out, self.chain_id()),
            "net_version" => encode::text(out, &self.chain_id().to_string()),
            "web3_clientVersion" => encode::text(out, concat!("testchain/v", env!("CARGO_PKG_VERSION"))),
            "eth_syncing" => out.extend_from_slice(b"false"),
            "eth_blockNumber" => encode::quantity(out, self.view().head(self.settings).map_or(0, |head| head.number)),
            "eth_getBlockByNumber" => self.block(params.required(0)?, &params, out)?,
            "eth_getBlockByHash" => self.block(BlockId::Hash(params.required(0)?), &params, out)?,
            "eth_getBlockReceipts" => self.block_receipts(params.required(0)?, out),
            "eth_getTransactionByHash" => self.transaction(params.required(0)?, out),
            "eth_getTransactionReceipt" => self.receipt(params.required(0)?, out),
            "eth_getLogs" => {
                let query = params.required(0)?;
                let sent = logs::answer(self.view(), self.settings, self.lies, &query, out)?;
                counters::add(&self.service.counters.logs, sent);
            }
            "eth_call" => self.contract_call(&params, out)?,
            "eth_getCode" => self.code(&params, out)?,
            "eth_subscribe" | "eth_unsubscribe" => return Err(Refusal::new(-32601, "notifications not supported")),
            _ => return Err(Refusal::unknown_method(method)),
        }
        Ok(())
    }

    fn view(&self) -> &View {
        &self.service.view
    }

    fn chain_id(&self) -> u64 {
        self.settings.chain_id.unwrap_or_else(|| self.view().chain_id())
    }

    fn find(&self, id: BlockId) -> Option<Arc<Block>> {
        self.view().find(id, self.settings, self.lies)
    }

    fn block(&self, id: BlockId, params: &Params<'_>, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let full = params.optional(1)?.unwrap_or(false);
        match self.find(id) {
            Some(block) => encode::block(out, self.chain_id(), &block, full),
            None => out.extend_from_slice(b"null"),
        }
        Ok(())
    }

    fn block_receipts(&self, id: BlockId, out: &mut Vec<u8>) {
        match self.find(id) {
            Some(block) => {
                let block = self.view().with_receipt_faults(block, self.settings, self.lies);
                encode::receipts(out, &block, !self.settings.omit_log_timestamps);
            }
            None => out.extend_from_slice(b"null"),
        }
    }

    fn transaction(&self, hash: B256, out: &mut Vec<u8>) {
        match self.view().transaction(&hash, self.settings, self.lies) {
            Some((block, index)) => encode::transaction(out, self.chain_id(), &block, index),
            None => out.extend_from_slice(b"null"),
        }
    }

    fn receipt(&self, hash: B256, out: &mut Vec<u8>) {
        match self.view().transaction(&hash, self.settings, self.lies) {
            Some((block, index)) if !block.receipts[index].is_absent() => {
                let block = self.view().with_receipt_faults(block, self.settings, self.lies);
                encode::receipt(out, &block, index, !self.settings.omit_log_timestamps);
            }
            _ => out.extend_from_slice(b"null"),
        }
    }

    fn state_block(&self, params: &Params<'_>, index: usize) -> Result<Arc<Block>, Refusal> {
        let id = params.optional(index)?.unwrap_or(BlockId::Latest);
        self.find(id).ok_or_else(|| Refusal::new(-32000, "header not found"))
    }

    fn contract_call(&self, params: &Params<'_>, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let object: CallObject = params.required(0)?;
        let block = self.state_block(params, 1)?;
        let to = object
            .to
            .ok_or_else(|| Refusal::invalid_argument(0, "contract creation is not answered"))?;
        let input = object.input.or(object.data).unwrap_or_default();
        let call = state::Call { to, input, block };
        let answer = self.service.state.call(&call).map_err(state::Revert::into_refusal)?;
        encode::data(out, &answer);
        Ok(())
    }

    fn code(&self, params: &Params<'_>, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let address = params.required(0)?;
        let block = self.state_block(params, 1)?;
        encode::data(out, &self.service.state.code(address, &block));
        Ok(())
    }
}
