//! Reading chains: a pool of JSON-RPC endpoints that answers with verified spans.
//!
//! Nothing an endpoint answers is trusted unchecked. Header hashes are recomputed, blocks must link, logs must name their
//! block and agree with its bloom, and at level `receipts` the receipts root is recomputed. What fails is asked again
//! elsewhere, and the endpoint that answered it is scored down with the reason kept for the operator.
//!
//! A question (`question`) goes from the pool (`ask`) to one endpoint after another (`attempt`, `endpoint`) over `transport`, and
//! its answer is read by `wire`; each of the other files asks for something and checks what comes.
//!
//! This module knows JSON-RPC and nothing of what logs mean; it never names a table and never writes a secret of a URL.

mod answer;
mod ask;
mod attempt;
mod bloom;
mod branch;
mod checked_header;
mod choice;
mod connect;
mod context;
mod density;
mod endpoint;
mod envelope;
mod error;
mod head_memory;
mod header_rules;
mod heads;
mod inner;
mod lookup;
mod pieces;
mod pool;
mod positions;
mod probe;
mod proof;
mod question;
mod reach;
mod redact;
mod report;
mod settings;
mod sibling_logs;
mod span;
mod transport;
mod wire;

pub use branch::Votes;
pub use error::{EndpointError, Wanted};
pub use pool::Pool;
pub use redact::redacted;
pub use report::{EndpointHealth, EndpointState, PoolCounters};
pub use settings::{EndpointSettings, Filter, Header, HeaderHash, Heads, PoolOptions};
