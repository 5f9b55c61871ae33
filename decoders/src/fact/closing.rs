//! Ends of orders.

use alloy_primitives::{Address, B256, U256};
use serde_json::{Value, json};

use super::kind::{Fact, FactKind, Place, hex, number};
use crate::id::RecordKind;

/// Why orders ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClosingReason {
    /// Taken, in whole or in part.
    Filled,
    /// Taken back by the maker.
    Canceled,
    /// Ended by the market.
    Invalidated,
}

impl ClosingReason {
    /// The name kept in tables and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            ClosingReason::Filled => "filled",
            ClosingReason::Canceled => "canceled",
            ClosingReason::Invalidated => "invalidated",
        }
    }
}

/// Which orders a closing reaches: those opened below it, at the same market contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The order with this key.
    Key(B256),
    /// Orders of this maker.
    Maker {
        /// The maker.
        maker: Address,
        /// Which of the maker's orders.
        nonces: Nonces,
    },
}

/// Which orders of a maker, by nonce. An order whose nonce is not known is reached by [`Nonces::All`] only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nonces {
    /// All.
    All,
    /// Those with a lower nonce.
    Below(U256),
    /// Those with this nonce.
    Exactly(U256),
}

/// The end of an order, of a part of it, or of all orders of a maker, at the position of the log that records it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closing {
    /// Decoder that saw it.
    pub source: &'static str,
    /// Height of the block.
    pub block_number: u64,
    /// Index of the log within its block.
    pub log_index: u32,
    /// Index among the closings of that log.
    pub item: u32,
    /// Transaction that emitted the log.
    pub tx_hash: B256,
    /// Name of the market.
    pub marketplace: &'static str,
    /// The market's contract.
    pub market: Address,
    /// Which orders end.
    pub reach: Reach,
    /// Why.
    pub reason: ClosingReason,
    /// Units taken, for a fill that may leave some; absent where the order ends whole.
    pub quantity: Option<U256>,
}

/// Which orders a closing reaches, in words.
fn reach(reach: &Reach) -> String {
    match reach {
        Reach::Key(key) => format!("order {key}"),
        Reach::Maker { maker, nonces } => {
            let which = match nonces {
                Nonces::All => "all orders".to_owned(),
                Nonces::Below(nonce) => format!("orders with a nonce below {nonce}"),
                Nonces::Exactly(nonce) => format!("orders with nonce {nonce}"),
            };
            format!("{which} of {}", hex(*maker))
        }
    }
}

impl Fact for Closing {
    fn place(&self) -> Place {
        Place {
            source: self.source,
            contracts: [self.market; 2],
            block_number: self.block_number,
            log_index: self.log_index,
            item: self.item,
            tx_hash: self.tx_hash,
        }
    }

    /// A fill is announced as the sale it made.
    fn name(&self) -> Option<&'static str> {
        (self.reason != ClosingReason::Filled).then_some(CANCEL)
    }

    fn marketplace(&self) -> Option<&'static str> {
        Some(self.marketplace)
    }

    fn cells(&self) -> Vec<(&'static str, String)> {
        vec![
            ("log", self.log_index.to_string()),
            ("reason", self.reason.as_str().to_owned()),
            ("market", self.marketplace.to_owned()),
            ("reaches", reach(&self.reach)),
            ("quantity", number(self.quantity)),
        ]
    }

    fn json(&self) -> Value {
        json!({
            "log_index": self.log_index, "item": self.item, "decoder": self.source, "reason": self.reason.as_str(),
            "marketplace": self.marketplace, "market": self.market, "reaches": reach(&self.reach),
            "quantity": self.quantity.map(|quantity| quantity.to_string()),
        })
    }
}

/// What a closing that is no fill is called.
const CANCEL: &str = "cancel";

impl FactKind for Closing {
    const RECORD: RecordKind = RecordKind::fact(4);

    const TITLE: &'static str = "ends of orders";

    const NAMES: &'static [&'static str] = &[CANCEL];

    fn item_mut(&mut self) -> &mut u32 {
        &mut self.item
    }
}
