//! Why a sale holds the values it holds: where in its transaction each of its parts can be seen.
//!
//! Nothing is decoded here a second time. The facts are taken as they are, and what they name is looked for in the logs, the
//! movements, the payments, the transaction itself and the answers of contracts, in this order.

use std::fmt::Write as _;
use std::sync::LazyLock;

use alloy_primitives::{Address, B256, U256, keccak256};
use rustc_hash::FxHashMap;

use crate::block::{Answer, Answers, Envelope, Log, Span};
use crate::fact::{FactKind as _, Facts, Kind, PriceAllocation, Sale, Side, flag};
use crate::log_reader::WORD_BYTES;
use crate::pass::{claimants, known};
use crate::trade::transfer_index::{Movement, TransferIndex};

/// Signatures of the events that decoders claim, and of those often seen beside them.
static SIGNATURES: LazyLock<FxHashMap<B256, &'static str>> = LazyLock::new(|| {
    let signatures = include_str!("event_signatures.txt").lines();
    signatures.map(|signature| (keccak256(signature), signature)).collect()
});

/// What decoders see in one transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explanation {
    /// Its logs, in order.
    pub logs: Vec<Seen>,
    /// The parts of each of its sales, in the order of the sales.
    pub sales: Vec<Vec<Part>>,
}

impl Explanation {
    /// The parts of each fact of `kind`, where facts of that kind are explained.
    pub fn of_kind(&self, kind: &Kind) -> Option<&[Vec<Part>]> {
        (kind.record == Sale::RECORD).then_some(&self.sales)
    }
}

/// One log as the list of decoders sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Index of the log within its block.
    pub log_index: u32,
    /// Emitting contract.
    pub contract: Address,
    /// The event's signature, where it is a known one.
    pub event: Option<&'static str>,
    /// The decoders that claim the log.
    pub decoders: Vec<&'static str>,
}

/// One part of a sale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its name, as in `sales`.
    pub field: &'static str,
    /// What it is.
    pub value: String,
    /// Where that can be seen.
    pub because: String,
}

/// The signature of the event with this hash, where it is a known one.
pub fn signature(topic0: &B256) -> Option<&'static str> {
    SIGNATURES.get(topic0).copied()
}

/// Explains the transaction `tx_hash` of `span`, whose facts are `facts`.
pub fn explain(span: &Span, facts: &Facts, tx_hash: B256) -> Explanation {
    let logs: Vec<Log> = span.logs.iter().filter(|log| log.tx_hash == tx_hash).cloned().collect();
    let seen = |log: &Log| Seen {
        log_index: log.log_index,
        contract: log.address,
        event: log.topic0().and_then(signature),
        decoders: claimants(span.chain, log),
    };
    let own = facts.transfers.iter().filter(|transfer| transfer.tx_hash == tx_hash);
    let transfers = TransferIndex::of(known(), &logs, &own.cloned().collect::<Vec<_>>());
    let sales = facts.sales.iter().filter(|sale| sale.tx_hash == tx_hash);
    let explained = sales.map(|sale| {
        let evidence = Evidence {
            logs: &logs,
            transfers: &transfers,
            envelope: span.context.envelopes.get(&tx_hash),
            answers: &span.context.answers,
            sale,
        };
        evidence.parts()
    });
    Explanation {
        sales: explained.collect(),
        logs: logs.iter().map(seen).collect(),
    }
}

/// What can be looked at to explain one sale.
struct Evidence<'a> {
    logs: &'a [Log],
    transfers: &'a TransferIndex,
    envelope: Option<&'a Envelope>,
    answers: &'a Answers,
    sale: &'a Sale,
}

impl Evidence<'_> {
    fn parts(&self) -> Vec<Part> {
        let sale = self.sale;
        let mut parts = vec![
            part("marketplace", self.market(), self.claimed()),
            part("side", sale.side.as_str().to_owned(), self.side()),
            part("token", self.token(), self.moved()),
            part("quantity", sale.quantity.to_string(), self.quantity()),
            part("standard", sale.standard.as_str().to_owned(), self.standard()),
            part(
                "seller",
                hex(sale.seller),
                self.person(sale.seller, self.seller_takes()),
            ),
            part("buyer", hex(sale.buyer), self.person(sale.buyer, !self.seller_takes())),
            part("maker", hex(sale.maker), self.address(sale.maker)),
            part("taker_raw", hex(sale.taker_raw), self.address(sale.taker_raw)),
        ];
        if let Some(aggregator) = sale.aggregator {
            parts.push(part("aggregator", hex(aggregator), self.aggregator(aggregator)));
        }
        parts.push(part("currency", currency(sale.currency), self.currency()));
        parts.push(part("price", amount(sale.price), self.price()));
        for fee in &sale.fees {
            let value = format!("{} to {} ({})", fee.amount, hex(fee.recipient), fee.kind.as_str());
            parts.push(part("fee", value, self.fee(fee.amount, fee.recipient)));
        }
        parts.push(part("seller_net", amount(sale.seller_net), self.net()));
        if let Some(hash) = sale.order_hash {
            parts.push(part(
                "order_hash",
                hash.to_string(),
                self.number(U256::from_be_bytes(hash.0)),
            ));
        }
        let flags = sale.flags.iter();
        parts.extend(flags.map(|flag| part("flag", (*flag).to_owned(), meaning(flag).to_owned())));
        parts
    }

    /// The log that emits the sale.
    fn log(&self) -> Option<&Log> {
        self.logs.iter().find(|log| log.log_index == self.sale.log_index)
    }

    /// The movement that delivers the token: of those that fit a party, the one nearest to the log.
    fn delivery(&self) -> Option<&Movement> {
        let sale = self.sale;
        let movements = self
            .transfers
            .transfers_of(sale.contract, sale.token?)
            .map(|(_, movement)| movement);
        movements
            .filter(|movement| movement.from == sale.seller || movement.to == sale.buyer || movement.from.is_zero())
            .min_by_key(|movement| {
                let fits = movement.from == sale.seller && movement.to == sale.buyer;
                (!fits, movement.log_index.abs_diff(sale.log_index))
            })
    }

    fn market(&self) -> String {
        format!("{} {}", self.sale.marketplace, self.sale.version)
            .trim_end()
            .to_owned()
    }

    fn claimed(&self) -> String {
        let Some(log) = self.log() else {
            return "no log".to_owned();
        };
        let event = log.topic0().and_then(signature).map_or("an event", name);
        format!(
            "decoder {} claims {event}, log {} of {}",
            self.sale.source,
            log.log_index,
            hex(log.address)
        )
    }

    fn side(&self) -> String {
        let text = match self.sale.side {
            Side::Listing => "the maker gave the token, the taker the money",
            Side::Offer => "the maker gave the money, the taker the token",
            Side::Auction => "the highest bid of an auction",
            Side::Private => "the maker named the only buyer",
            Side::AmmBuy => "a pool sold",
            Side::AmmSell => "a pool bought",
            Side::Mint => "the token was created for its buyer",
        };
        text.to_owned()
    }

    fn token(&self) -> String {
        match self.sale.token {
            Some(token) => format!("{} {token}", hex(self.sale.contract)),
            None => "unknown".to_owned(),
        }
    }

    fn moved(&self) -> String {
        let Some(token) = self.sale.token else {
            return "no available record shows which".to_owned();
        };
        let named = self.in_own_log(token);
        match (self.delivery(), named) {
            (Some(movement), Some(place)) => format!("{place}; moves in log {}", movement.log_index),
            (Some(movement), None) => format!("moves in log {}", movement.log_index),
            (None, Some(place)) => format!("{place}; no movement of it belongs to the sale"),
            (None, None) => "no movement of it belongs to the sale".to_owned(),
        }
    }

    fn quantity(&self) -> String {
        match self.delivery() {
            Some(movement) if movement.quantity == self.sale.quantity => format!("as log {} moves", movement.log_index),
            _ => self.number(self.sale.quantity),
        }
    }

    fn standard(&self) -> String {
        match self.delivery() {
            Some(movement) => format!("as log {} moves", movement.log_index),
            None => "as the market's log has it".to_owned(),
        }
    }

    /// Whether it is the seller who took the maker's order.
    fn seller_takes(&self) -> bool {
        matches!(self.sale.side, Side::Offer | Side::AmmSell)
    }

    /// Why this person is the buyer or the seller; routers stand before takers.
    fn person(&self, person: Address, takes: bool) -> String {
        if person.is_zero() {
            return "no available record shows who".to_owned();
        }
        let sale = self.sale;
        let behind = takes && sale.taker_raw != person && !sale.taker_raw.is_zero();
        let mut because = self.moves(person).unwrap_or_default();
        if behind {
            let named = self
                .in_own_log(word(sale.taker_raw))
                .map_or_else(String::new, |place| format!(", which {place} names"));
            write!(because, ", behind {}{named}", hex(sale.taker_raw)).expect(INFALLIBLE);
        } else if let Some(place) = self.in_own_log(word(person)) {
            write!(because, "; {place}").expect(INFALLIBLE);
        }
        if self.envelope.is_some_and(|envelope| envelope.from == person) {
            because.push_str("; signed the transaction");
        }
        match because.trim_start_matches([';', ',', ' ']) {
            "" => self.address(person),
            because => because.to_owned(),
        }
    }

    /// Which movement of the sold token ends or begins with `person`.
    fn moves(&self, person: Address) -> Option<String> {
        let movements = || {
            self.transfers
                .transfers_of(self.sale.contract, self.sale.token.unwrap_or_default())
        };
        let shown = |word: &str, movement: &Movement| format!("{word} of log {}", movement.log_index);
        if person == self.sale.buyer {
            let last = movements().rev().find(|(_, movement)| movement.to == person)?;
            Some(shown("receiver", last.1))
        } else {
            let first = movements().find(|(_, movement)| movement.from == person)?;
            Some(shown("sender", first.1))
        }
    }

    fn address(&self, address: Address) -> String {
        if address.is_zero() {
            return "no party is named".to_owned();
        }
        self.place(word(address), true)
            .or_else(|| self.moves(address))
            .unwrap_or_else(|| DERIVED.to_owned())
    }

    fn aggregator(&self, aggregator: Address) -> String {
        if aggregator == self.sale.taker_raw {
            "the taker that the log names, and not who ended with the token".to_owned()
        } else {
            "of the whole transaction: the contract called, a known router or one that tokens or payments pass through, or else the taker \
             of another sale"
                .to_owned()
        }
    }

    fn currency(&self) -> String {
        let currency = self.sale.currency;
        if currency.is_zero() {
            return "the native currency: no ERC-20 contract is named".to_owned();
        }
        let paid = self.payments().iter().any(|(_, of, _)| *of == currency);
        match (self.in_own_log(word(currency)), paid) {
            (Some(place), _) => place,
            (None, true) => "the payments of the transaction are in it".to_owned(),
            (None, false) => self.address(currency),
        }
    }

    /// Log index, currency and amount of every payment.
    fn payments(&self) -> Vec<(u32, Address, U256)> {
        let payments = self.transfers.payments(0..u32::MAX).iter();
        payments
            .map(|payment| (payment.log_index, payment.currency, payment.amount))
            .collect()
    }

    fn price(&self) -> String {
        let sale = self.sale;
        let Some(price) = sale.price else {
            return "no available record shows it".to_owned();
        };
        // Before any log is searched: a part of a bundle may equal some unrelated amount.
        if sale.allocation == PriceAllocation::SplitEqual {
            return format!(
                "an equal part of what the {} lines of the bundle cost together",
                sale.bundle_size
            );
        }
        if let Some(place) = self.place(price, false) {
            return place;
        }
        if !sale.fees.is_empty() {
            return "the sum of what the seller kept and the fees".to_owned();
        }
        let paid: Vec<_> = self
            .payments()
            .into_iter()
            .filter(|(_, of, _)| *of == sale.currency)
            .collect();
        // Checked, because amounts of tokens can be anything; a sum that overflows explains nothing.
        let total = paid
            .iter()
            .try_fold(U256::ZERO, |total, (_, _, amount)| total.checked_add(*amount));
        match (total == Some(price), sale.allocation) {
            (true, _) => format!(
                "the sum of the payments in logs {}",
                listed(paid.iter().map(|(log, _, _)| *log))
            ),
            (false, PriceAllocation::Inferred) => "read off the payments of the transaction".to_owned(),
            _ => DERIVED.to_owned(),
        }
    }

    fn fee(&self, amount: U256, recipient: Address) -> String {
        let amount = self
            .place(amount, false)
            .unwrap_or_else(|| "a share of the price".to_owned());
        if recipient.is_zero() {
            return format!("{amount}; the recipient is not shown");
        }
        match self.in_own_log(word(recipient)) {
            Some(place) => format!("{amount}; recipient: {place}"),
            None => amount,
        }
    }

    fn net(&self) -> String {
        match self.sale.seller_net {
            None => "the price is not known".to_owned(),
            Some(net) if self.sale.fees.is_empty() && Some(net) == self.sale.price => {
                "the price, no fee being known".to_owned()
            }
            Some(net) => {
                let seen = self
                    .place(net, false)
                    .map_or_else(String::new, |place| format!("; {place}"));
                format!("the price less the fees{seen}")
            }
        }
    }

    fn number(&self, number: U256) -> String {
        self.place(number, false).unwrap_or_else(|| DERIVED.to_owned())
    }

    /// Where the sale's own log holds `value`.
    fn in_own_log(&self, value: U256) -> Option<String> {
        let log = self.log()?;
        in_log(log, value).map(|place| format!("log {}, {place}", log.log_index))
    }

    /// The first place that holds `value`: the sale's own log, a payment, the transaction, an answer, another log. Small numbers
    /// stand everywhere and prove nothing outside the own log.
    fn place(&self, value: U256, is_address: bool) -> Option<String> {
        if let Some(place) = self.in_own_log(value) {
            return Some(place);
        }
        if value <= U256::from(u16::MAX) {
            return None;
        }
        let paid = self
            .payments()
            .into_iter()
            .find(|(_, _, amount)| !is_address && *amount == value);
        paid.map(|(log, _, _)| format!("paid in log {log}"))
            .or_else(|| self.in_envelope(value, is_address))
            .or_else(|| self.in_answers(value))
            .or_else(|| self.in_other_log(value))
    }

    fn in_envelope(&self, value: U256, is_address: bool) -> Option<String> {
        let Envelope {
            from,
            to,
            value: sent,
            input,
        } = self.envelope?;
        if is_address && word(*from) == value {
            return Some("signed the transaction".to_owned());
        }
        if is_address && to.map(word) == Some(value) {
            return Some("the contract called".to_owned());
        }
        if !is_address && *sent == value {
            return Some("sent along with the transaction".to_owned());
        }
        let words = input.get(4..)?.chunks_exact(WORD_BYTES);
        // Aligned words are ABI data; the search byte by byte comes last, for addresses alone, since small numbers are found
        // anywhere.
        let aligned = words.enumerate().find(|(_, word)| U256::from_be_slice(word) == value);
        if let Some((place, _)) = aligned {
            return Some(format!("calldata, word {place}"));
        }
        let bytes = value.to_be_bytes::<WORD_BYTES>();
        let packed = &bytes[WORD_BYTES - 20..];
        let place = input
            .windows(packed.len())
            .position(|window| is_address && window == packed)?;
        Some(format!("calldata, byte {place}"))
    }

    fn in_answers(&self, value: U256) -> Option<String> {
        let mut answers = self.answers.iter().filter_map(|(call, answer)| match answer {
            Answer::Returned(bytes) if words(bytes).any(|word| word == value) => Some(call),
            _ => None,
        });
        let call = answers.next()?;
        let selector = call
            .input
            .get(..4)
            .map_or_else(String::new, alloy_primitives::hex::encode_prefixed);
        Some(format!("answered by {} to {selector}", hex(call.to)))
    }

    fn in_other_log(&self, value: U256) -> Option<String> {
        let others = self.logs.iter().filter(|log| log.log_index != self.sale.log_index);
        let mut found = others.filter_map(|log| Some((log.log_index, in_log(log, value)?)));
        let (log_index, place) = found.next()?;
        Some(format!("log {log_index}, {place}"))
    }
}

/// What is reported of a value that stands nowhere as it is.
const DERIVED: &str = "worked out from the log by the rules of the market";

/// Why writing into a `String` is expected to succeed.
const INFALLIBLE: &str = "writing to a string cannot fail";

fn part(field: &'static str, value: String, because: String) -> Part {
    Part { field, value, because }
}

fn in_log(log: &Log, value: U256) -> Option<String> {
    if word(log.address) == value {
        return Some("its contract".to_owned());
    }
    let topic = log
        .topics
        .iter()
        .skip(1)
        .position(|topic| U256::from_be_bytes(topic.0) == value);
    if let Some(topic) = topic {
        return Some(format!("topic {}", topic + 1));
    }
    let place = words(&log.data).position(|word| word == value)?;
    Some(format!("word {place}"))
}

fn words(bytes: &[u8]) -> impl Iterator<Item = U256> {
    bytes.chunks_exact(WORD_BYTES).map(U256::from_be_slice)
}

fn word(address: Address) -> U256 {
    U256::from_be_bytes(address.into_word().0)
}

fn hex(address: Address) -> String {
    format!("{address:#x}")
}

fn currency(currency: Address) -> String {
    if currency.is_zero() {
        "native".to_owned()
    } else {
        hex(currency)
    }
}

fn amount(amount: Option<U256>) -> String {
    amount.map_or_else(|| "unknown".to_owned(), |amount| amount.to_string())
}

fn name(signature: &str) -> &str {
    signature.split('(').next().unwrap_or(signature)
}

fn listed(numbers: impl Iterator<Item = u32>) -> String {
    numbers.map(|number| number.to_string()).collect::<Vec<_>>().join(", ")
}

fn meaning(flag: &str) -> &'static str {
    match flag {
        flag::NO_TRANSFER => "no movement of the token in the transaction belongs to the sale",
        flag::FEES_UNKNOWN => "fees were taken out of the price, and no available record shows how much",
        flag::FEES_ON_TOP_UNKNOWN => "the buyer may have paid fees on top that the log does not show",
        flag::FEES_EXCEED_PRICE => "the fees that the log states exceed the price, so none are used",
        flag::TOKEN_UNKNOWN => "no available record shows which token was sold",
        flag::BUYER_UNKNOWN => "no available record shows who bought",
        flag::SELLER_UNKNOWN => "no available record shows who sold",
        flag::PRICE_OF_POOL => "the price is what the pool asked at that moment, which no available record shows",
        flag::NET_ONLY => "the price is what the seller got; what fees took out of it before is not shown",
        flag::PRICE_OF_BID => "the price is that of the maker's live bid, which an earlier log states",
        flag::NO_ENVELOPE => "the transaction's sender and calldata would have shown more and were not available",
        flag::NO_ANSWER => "what contracts return when asked would have shown more and was not available",
        flag::UNPROVEN => "who vouches for contracts of this market could not be asked, so it counts in no volume",
        flag::PRIMARY => "the first sale of the token by its creator",
        flag::PROCEEDS_REDIRECTED => "nothing was paid to the seller's own address",
        flag::UNCONFIRMED => "this form of the event is confirmed by source text only",
        _ => "see docs/PROTOCOLS.md",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_claimed_event_has_a_name() {
        let nameless: Vec<B256> = crate::topics()
            .into_iter()
            .filter(|topic| signature(topic).is_none())
            .collect();
        assert!(nameless.is_empty(), "not in event_signatures.txt: {nameless:?}");
    }
}
