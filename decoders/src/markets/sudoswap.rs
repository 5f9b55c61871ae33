//! Sudoswap v1 and v2 (decoding specification, section 4.14; `sudoswap/lssvm`, `sudoswap/lssvm2`).
//!
//! A pair emits its own trades, and anybody can emit the same. So the factory is asked whether it made the pair, and the pair
//! what it trades. v1 emits nothing but that it traded: its tokens are those that moved since its last event, its price is read
//! off ERC-20 payments, or for native currency off the quote the pair gave after the block before, trusted only if it leads to
//! the spot price that the trade left. v2 emits ids and an amount, which for a sale to the pair is what the seller got.
//!
//! Where no contract can be asked, a trade is decoded as far as what moved shows it, and flagged so.

use std::mem;
use std::ops::Range;

use alloy_primitives::{Address, B256, U256, address, b256, hex};
use rustc_hash::FxHashMap;

use crate::block::{Call, Log};
use crate::chains;
use crate::decoder::{Claim, Decoder};
use crate::events::Events;
use crate::fact::{FeeKind, PriceAllocation, Side, Standard, flag};
use crate::log_reader::{self, DecodeError, Reader, Word, sum, uint, words};
use crate::trade::transfer_index::{Movement, Payment, TransferIndex};
use crate::trade::{LineItem, Market, Trade, sum_of};
use crate::transaction::Transaction;

const V1_FACTORIES: &[(u64, Address)] = &[(chains::ETHEREUM, address!("b16c1342e617a5b6e4b631eb114483fdb289c0a4"))];
const V2_FACTORIES: &[(u64, Address)] = &[
    (chains::ETHEREUM, address!("a020d57ab0448ef74115c112d18a9c231cc86000")),
    (chains::BASE, address!("605145d263482684590f630e9e581b21e4938eb8")),
    (chains::ARBITRUM, address!("4f1627be4c72aeb9565d4c751550c4d262a96b51")),
];

/// v1 `SwapNFTOutPair()`.
const V1_OUT: B256 = b256!("bc479dfc6cb9c1a9d880f987ee4b30fa43dd7f06aec121db685b67d587c93c93");
/// v1 `SwapNFTInPair()`.
const V1_IN: B256 = b256!("3614eb567740a0ee3897c0e2b11ad6a5720d2e4438f9c8accf6c95c24af3a470");
/// v2 `SwapNFTOutPair(uint256,uint256[])`.
const OUT_IDS: B256 = b256!("a13c46268c53408442d94eb370f2e476cb7f0fbe027ae5bad73ce13d4469c8b9");
/// v2 `SwapNFTOutPair(uint256,uint256)`.
const OUT_COUNT: B256 = b256!("d9c2402e1a067734ae78dab98f06d5b28e8a2d2c6370ec0e6ff8cc2749d050f1");
/// v2 with hooks `SwapNFTOutPair(uint256,uint256[],uint256)`.
const OUT_IDS_ROYALTY: B256 = b256!("f506468975082788421e0cfe591d415faf7921176896acdaa707638f22549e58");
/// v2 with hooks `SwapNFTOutPair(uint256,uint256,uint256)`.
const OUT_COUNT_ROYALTY: B256 = b256!("515956a82aeb50dd86f3e1f1be05566bc6ed4c43a659be9677fce1a2b185b49d");
/// v2 `SwapNFTInPair(uint256,uint256[])`.
const IN_IDS: B256 = b256!("7a0e7e58d91fd23a96b0008604db1b2d1cee4aae434e3aad9a20fdd7c0995f89");
/// v2 `SwapNFTInPair(uint256,uint256)`.
const IN_COUNT: B256 = b256!("58e7e2e8d4c949c019e4fe5f6e2a8f10e4e078a8747730386e9a230da8c969f0");
/// v2 with hooks `SwapNFTInPair(uint256,uint256[],uint256)`.
const IN_IDS_ROYALTY: B256 = b256!("b5003a9efa49611ae8d01e9f1d66b3e5fe2c76bb2293b7b1702d56bb4459458a");
/// v2 with hooks `SwapNFTInPair(uint256,uint256,uint256)`.
const IN_COUNT_ROYALTY: B256 = b256!("c4e3006a9a327c0234c4a84a59a55cee1be8958c331846a50406c074892457c9");
/// `SpotPriceUpdate(uint128)`.
const SPOT_PRICE_UPDATE: B256 = b256!("f06180fdbe95e5193df4dcd1352726b1f04cb58599ce58552cc952447af2ffbb");
/// `DeltaUpdate(uint128)`.
const DELTA_UPDATE: B256 = b256!("c958ae052d28f8d17bc2c4ddbabb699a3cab5cccefd034d0fc971efdadc01da5");
/// `FeeUpdate(uint96)`.
const FEE_UPDATE: B256 = b256!("66c55c30868c51e7ad52e3d85d1403576a9967614e67c48e25b55a10baa650c0");

/// `pairVariant()`: whether the pair is paid in an ERC-20, and in v2 whether it trades ERC-1155.
const PAIR_VARIANT: [u8; 4] = hex!("3053fc58");
/// `isPair(address,uint8)` of the v1 factory.
const IS_PAIR: [u8; 4] = hex!("08f25a8f");
/// `isValidPair(address)` of the v2 factory.
const IS_VALID_PAIR: [u8; 4] = hex!("9294118c");
/// `nft()`.
const NFT: [u8; 4] = hex!("47ccca02");
/// `token()`.
const TOKEN: [u8; 4] = hex!("fc0c546a");
/// `nftId()` of a pair that trades one ERC-1155 token.
const NFT_ID: [u8; 4] = hex!("c6bc5182");
/// `getAssetRecipient()`: where what the trader gives goes.
const ASSET_RECIPIENT: [u8; 4] = hex!("79eac6c2");
/// `spotPrice()`.
const SPOT_PRICE: [u8; 4] = hex!("398482d8");
/// v1 `getBuyNFTQuote(uint256)` and `getSellNFTQuote(uint256)`.
const V1_QUOTES: [[u8; 4]; 2] = [hex!("a5cb2b91"), hex!("0c295e56")];
/// v2 `getBuyNFTQuote(uint256,uint256)` and `getSellNFTQuote(uint256,uint256)`.
const V2_QUOTES: [[u8; 4]; 2] = [hex!("1afd78c5"), hex!("33b24a3a")];

words! {
    /// What a pair answers to [`V1_QUOTES`].
    struct FirstQuote { error, new_spot_price, new_delta, amount, protocol_fee }

    /// What a pair answers to [`V2_QUOTES`].
    struct SecondQuote { error, new_spot_price, new_delta, amount, protocol_fee, royalty_amount }
}

/// Both versions. A pair's updates are claimed because they show how far a quote can be trusted.
pub(crate) const DECODER: Decoder = Decoder {
    name: "sudoswap",
    claims: &[
        Claim::any(V1_OUT, 1).asking().with_envelope(),
        Claim::any(V1_IN, 1).asking().with_envelope(),
        Claim::any(OUT_IDS, 1).asking().with_envelope(),
        Claim::any(OUT_COUNT, 1).asking().with_envelope(),
        Claim::any(OUT_IDS_ROYALTY, 1).asking().with_envelope(),
        Claim::any(OUT_COUNT_ROYALTY, 1).asking().with_envelope(),
        Claim::any(IN_IDS, 1).asking().with_envelope(),
        Claim::any(IN_COUNT, 1).asking().with_envelope(),
        Claim::any(IN_IDS_ROYALTY, 1).asking().with_envelope(),
        Claim::any(IN_COUNT_ROYALTY, 1).asking().with_envelope(),
        Claim::any(SPOT_PRICE_UPDATE, 1),
        Claim::any(DELTA_UPDATE, 1),
        Claim::any(FEE_UPDATE, 1),
    ],
    factories: &[V1_FACTORIES, V2_FACTORIES],
    decode,
    ..Decoder::NONE
};

fn decode(transaction: &Transaction<'_>, events: &mut Events) {
    // Changes of a spot price alone sell nothing, so the transfer index is not built for them.
    if transaction.claimed().all(is_update) {
        return;
    }
    let transfers = events.transfer_index(transaction);
    let mut contracts: FxHashMap<Address, Past<'_>> = FxHashMap::default();
    let mut last = 0;
    for log in transaction.claimed() {
        let past = contracts.entry(log.address).or_default();
        if is_update(log) {
            past.updates.push(log);
            continue;
        }
        // What a pair emitted before a trade belongs to it: the spot price shows what the trade cost.
        let updates = mem::take(&mut past.updates);
        let swap = Swap {
            transaction,
            transfers: &transfers,
            log,
            window: past.since..log.log_index,
            was_updated: past.was_updated,
            updates: &updates,
            last,
        };
        let verdict = swap.emit(events);
        events.settle(log, verdict);
        last = log.log_index + 1;
        past.since = last;
        past.was_updated |= !updates.is_empty();
    }
}

/// What a contract did earlier in the transaction.
#[derive(Default)]
struct Past<'a> {
    /// Where its last trade ended.
    since: u32,
    /// Its updates since then, and whether there were any before.
    updates: Vec<&'a Log>,
    was_updated: bool,
}

/// Whether `log` changes a pair's parameters.
fn is_update(log: &Log) -> bool {
    matches!(log.topic0(), Some(&SPOT_PRICE_UPDATE | &DELTA_UPDATE | &FEE_UPDATE))
}

/// A contract that a factory made.
struct Pair {
    factory: Address,
    version: &'static str,
    nft: Address,
    /// What it is paid in; zero for native currency.
    currency: Address,
    /// The one ERC-1155 token it trades.
    nft_id: Option<U256>,
    /// Where what the trader gives goes, as far as it was asked; asked in v1 only.
    recipient: Option<Address>,
    /// Whether the factory answered that it made it.
    is_proven: bool,
}

/// One trade of a contract that may be a pair.
struct Swap<'a, 't> {
    transaction: &'a Transaction<'t>,
    transfers: &'a TransferIndex,
    log: &'a Log,
    /// From the contract's last trade in the transaction to this one.
    window: Range<u32>,
    /// The contract's updates in the window, and whether there were any before.
    updates: &'a [&'a Log],
    was_updated: bool,
    /// Where the last trade of any contract ended: pairs may share who gets what traders give.
    last: u32,
}

impl Swap<'_, '_> {
    /// Emits the trade, if the contract is a pair, or no contract can be asked whether it is.
    fn emit(self, events: &mut Events) -> Result<Option<&'static str>, DecodeError> {
        let asked = if self.is_first_version() {
            self.first_pair(events)
        } else {
            self.second_pair(events)
        };
        match asked {
            Ok(Some(pair)) => self.emit_of(&pair, events),
            Ok(None) => Ok(None),
            Err(error) if !events.may_ask() => Err(error),
            Err(error) => {
                // Any sender that emits as much may do so often: no movement is looked at twice.
                let narrow = Swap {
                    window: self.start()..self.window.end,
                    ..self
                };
                let pair = narrow.seen_pair().ok_or(error)?;
                narrow.emit_of(&pair, events)
            }
        }
    }

    fn emit_of(&self, pair: &Pair, events: &mut Events) -> Result<Option<&'static str>, DecodeError> {
        let mut reader = Reader::new(self.log);
        let trade = if self.is_first_version() {
            self.first_version(pair, events)?
        } else {
            self.second_version(pair, &mut reader, events)?
        };
        events.trade(self.log, trade);
        Ok(reader.warning())
    }

    fn is_first_version(&self) -> bool {
        matches!(self.log.topic0(), Some(&V1_OUT | &V1_IN))
    }

    /// Whether the pair sold.
    fn is_out(&self) -> bool {
        matches!(
            self.log.topic0(),
            Some(&V1_OUT | &OUT_IDS | &OUT_COUNT | &OUT_IDS_ROYALTY | &OUT_COUNT_ROYALTY)
        )
    }

    fn trader_unknown(&self) -> &'static str {
        if self.is_out() {
            flag::BUYER_UNKNOWN
        } else {
            flag::SELLER_UNKNOWN
        }
    }

    /// The v1 pair that the contract is. A contract that does not speak like one is asked nothing more.
    fn first_pair(&self, events: &mut Events) -> Result<Option<Pair>, DecodeError> {
        let address = self.log.address;
        let Some(factory) = self.transaction.here(V1_FACTORIES) else {
            return Ok(None);
        };
        let Some(variant) = variant(events.view(self.transaction, address, PAIR_VARIANT)?) else {
            return Ok(None);
        };
        let arguments = [address.into_word(), B256::with_last_byte(variant)];
        // Asked together, so that one round of questions is enough where all are answered.
        let proof = events.ask::<1>(self.transaction, Call::of(factory, IS_PAIR, &arguments));
        let nft = events.view(self.transaction, address, NFT);
        let recipient = Call::of(address, ASSET_RECIPIENT, &[]).before_block(self.log.block_number);
        let recipient = events.ask::<1>(self.transaction, recipient);
        // Variants 2 and 3 are paid in an ERC-20.
        let currency = self.currency(events, variant >= 2);
        let (true, Some(nft), Some(currency)) = (is_true(proof?), nft?, currency?) else {
            return Ok(None);
        };
        Ok(Some(Pair {
            factory,
            version: "v1",
            nft: log_reader::address(nft),
            currency,
            nft_id: None,
            // A pair created in the block answers nothing yet; not every endpoint knows what was before.
            recipient: recipient
                .ok()
                .map(|decoded| decoded.map_or(address, |[word]| log_reader::address(word))),
            is_proven: true,
        }))
    }

    /// The v2 pair that the contract is.
    fn second_pair(&self, events: &mut Events) -> Result<Option<Pair>, DecodeError> {
        let address = self.log.address;
        let Some(factory) = self.transaction.here(V2_FACTORIES) else {
            return Ok(None);
        };
        let proof = Call::of(factory, IS_VALID_PAIR, &[address.into_word()]);
        let proof = events.ask::<1>(self.transaction, proof);
        let answered = events.view(self.transaction, address, PAIR_VARIANT);
        let (true, Some(variant)) = (is_true(proof?), variant(answered?)) else {
            return Ok(None);
        };
        let nft = events.view(self.transaction, address, NFT);
        // Variants 1 and 3 are paid in an ERC-20, variants 2 and 3 trade ERC-1155.
        let currency = self.currency(events, variant % 2 == 1);
        let nft_id = (variant >= 2)
            .then(|| events.view(self.transaction, address, NFT_ID))
            .transpose();
        let (Some(nft), Some(currency)) = (nft?, currency?) else {
            return Ok(None);
        };
        Ok(Some(Pair {
            factory,
            version: "v2",
            nft: log_reader::address(nft),
            currency,
            nft_id: nft_id?.flatten().map(uint),
            recipient: Some(address),
            is_proven: true,
        }))
    }

    /// The pair that the contract would be, going by what it gave or got. Every trade in an ERC-20 goes with a payment to the
    /// factory, and what the trader gets comes from the pair.
    fn seen_pair(&self) -> Option<Pair> {
        let (address, version, factories) = if self.is_first_version() {
            (self.log.address, "v1", V1_FACTORIES)
        } else {
            (self.log.address, "v2", V2_FACTORIES)
        };
        let factory = self.transaction.here(factories)?;
        let is_counted = matches!(
            self.log.topic0(),
            Some(&OUT_COUNT | &OUT_COUNT_ROYALTY | &IN_COUNT | &IN_COUNT_ROYALTY)
        );
        // Without an answer: what moved shows a pair that gives and takes, but not that its factory made it.
        let traded = self.transfers.movements(self.window.clone()).iter().rfind(|movement| {
            let holder = if self.is_out() { movement.from } else { movement.to };
            holder == address && is_counted != movement.standard.single_owner()
        })?;
        let payments = self.transfers.payments(self.window.clone()).iter();
        let mut payments = payments.filter(|payment| {
            if self.is_out() {
                payment.to == factory
            } else {
                payment.from == address
            }
        });
        Some(Pair {
            factory,
            version,
            nft: traded.contract,
            currency: payments.next().map_or(Address::ZERO, |payment| payment.currency),
            nft_id: is_counted.then_some(traded.token),
            recipient: (!self.is_out()).then_some(address),
            is_proven: false,
        })
    }

    /// Where the trade starts at the earliest: it updates the pair before anything moves.
    fn updated(&self) -> u32 {
        self.updates.last().map_or(self.window.start, |log| log.log_index)
    }

    /// Where it starts if no other trade took place within it.
    fn start(&self) -> u32 {
        self.updated().max(self.last)
    }

    /// Who gets the payment for tokens of the pair in its ERC-20: the address paid last before they move, the factory aside.
    fn payee(&self, pair: &Pair) -> Option<Address> {
        let payments = self.transfers.payments(self.start()..self.window.end).iter();
        let mut payments = payments.filter(|payment| payment.currency == pair.currency && payment.to != pair.factory);
        let payment = payments.rfind(|payment| payment.from != self.log.address)?;
        Some(payment.to)
    }

    fn currency(&self, events: &mut Events, is_erc20: bool) -> Result<Option<Address>, DecodeError> {
        if !is_erc20 {
            return Ok(Some(Address::ZERO));
        }
        Ok(events
            .view(self.transaction, self.log.address, TOKEN)?
            .map(log_reader::address))
    }

    fn trade(&self, pair: &Pair) -> Trade {
        let market = Market {
            name: "sudoswap",
            version: pair.version,
        };
        let side = if self.is_out() { Side::AmmBuy } else { Side::AmmSell };
        let nothing = LineItem::of(Address::ZERO, U256::ZERO, U256::ONE);
        let mut trade = Trade::of(market, side, nothing, U256::ZERO);
        trade.lines.clear();
        trade.maker = self.log.address;
        trade.currency = pair.currency;
        trade.flags.extend((!pair.is_proven).then_some(flag::UNPROVEN));
        trade
    }

    /// `token` between the pair and a trader.
    fn line(&self, pair: &Pair, token: U256, quantity: U256, trader: Address) -> LineItem {
        let line = LineItem::of(pair.nft, token, quantity);
        let line = LineItem {
            standard: if pair.nft_id.is_some() {
                Standard::Erc1155
            } else {
                line.standard
            },
            ..line
        };
        if self.is_out() {
            line.between(self.log.address, trader)
        } else {
            line.between(trader, self.log.address)
        }
    }

    /// What moved since the pair's last trade, for a price that has to be found.
    fn first_version(&self, pair: &Pair, events: &mut Events) -> Result<Trade, DecodeError> {
        let mut trade = self.trade(pair);
        trade.price = None;
        let start = if self.is_out() { self.updated() } else { self.start() };
        let moves = self.transfers.movements(start..self.window.end).iter();
        let incoming = |movement: &&Movement| movement.contract == pair.nft && movement.from != self.log.address;
        // Tokens come last; who got the last of them got them all.
        let recipient = pair.recipient.or_else(|| Some(moves.clone().rfind(incoming)?.to));
        let moved = |movement: &&Movement| {
            movement.contract == pair.nft
                && if self.is_out() {
                    movement.from == self.log.address
                } else {
                    incoming(movement) && Some(movement.to) == recipient
                }
        };
        for movement in moves.filter(moved) {
            let trader = if self.is_out() { movement.to } else { movement.from };
            let line = self.line(pair, movement.token, movement.quantity, trader);
            trade.lines.push(line);
        }
        // The trade is emitted without its tokens; where none moved either, it stands with what is known.
        if trade.lines.is_empty() {
            let nothing = LineItem::of(Address::ZERO, U256::ZERO, U256::ONE);
            let line = LineItem { token: None, ..nothing };
            trade.lines.push(if self.is_out() {
                line.between(self.log.address, Address::ZERO)
            } else {
                line.between(Address::ZERO, self.log.address)
            });
            trade.flags.extend([flag::TOKEN_UNKNOWN, self.trader_unknown()]);
        } else if pair.currency.is_zero() {
            self.quoted(pair, &mut trade, events)?;
        } else {
            self.paid(pair, &mut trade)?;
        }
        if trade.price.is_some() {
            trade.allocation = PriceAllocation::Inferred;
        } else {
            trade.allocation = PriceAllocation::Unknown;
            trade.flags.push(flag::PRICE_OF_POOL);
        }
        Ok(trade)
    }

    /// Prices a v1 trade by what was paid in the pair's ERC-20.
    fn paid(&self, pair: &Pair, trade: &mut Trade) -> Result<(), DecodeError> {
        let recipient = pair.recipient.or_else(|| self.payee(pair));
        let is_meant = |payment: &&Payment| {
            payment.currency == pair.currency
                && if self.is_out() {
                    payment.from != self.log.address && [recipient, Some(pair.factory)].contains(&Some(payment.to))
                } else {
                    payment.from == self.log.address
                }
        };
        let payments = self
            .transfers
            .payments(self.start()..self.window.end)
            .iter()
            .filter(is_meant);
        let paid = sum_of(payments.clone().map(|payment| payment.amount))?;
        trade.price = (!paid.is_zero()).then_some(paid);
        for payment in payments.filter(|payment| payment.to == pair.factory) {
            trade.fee(pair.factory, payment.amount, FeeKind::Marketplace);
        }
        Ok(())
    }

    /// Prices a v1 trade by the quote of the pair before the block, if nothing has changed the pair between and the quote
    /// leads to where the trade led.
    fn quoted(&self, pair: &Pair, trade: &mut Trade, events: &mut Events) -> Result<(), DecodeError> {
        let Some(count) = self.count_if_quotable(trade).filter(|_| pair.is_proven) else {
            return Ok(());
        };
        let address = self.log.address;
        let selector = V1_QUOTES[usize::from(!self.is_out())];
        let quote = Call::of(address, selector, &[count.into()]).before_block(self.log.block_number);
        let quote = events.ask(self.transaction, quote);
        let led_to = match self.updates.iter().find(|log| log.topic0() == Some(&SPOT_PRICE_UPDATE)) {
            Some(log) => Reader::new(log).head::<1>().ok(),
            None => {
                let spot = Call::of(address, SPOT_PRICE, &[]).before_block(self.log.block_number);
                events.ask::<1>(self.transaction, spot).ok().flatten()
            }
        };
        let (Ok(Some(quote)), Some([spot])) = (quote, led_to) else {
            return Ok(());
        };
        let quote = FirstQuote::of(quote);
        if uint(quote.error).is_zero() && quote.new_spot_price == spot {
            let (amount, fee) = (uint(quote.amount), uint(quote.protocol_fee));
            trade.price = Some(if self.is_out() { amount } else { sum(amount, fee)? });
            trade.fee(pair.factory, fee, FeeKind::Marketplace);
        }
        Ok(())
    }

    /// How many tokens the trade was for, unless the state before the block is not the one it met.
    fn count_if_quotable(&self, trade: &Trade) -> Option<U256> {
        let updates = |topic0: &B256| self.updates.iter().filter(|log| log.topic0() == Some(topic0)).count();
        let mut earlier = self.transaction.earlier.iter();
        let is_stale = self.was_updated || earlier.any(|log| log.address == self.log.address && is_update(log));
        let is_plain = updates(&SPOT_PRICE_UPDATE) <= 1 && updates(&DELTA_UPDATE) <= 1 && updates(&FEE_UPDATE) == 0;
        let count = sum_of(trade.lines.iter().map(|line| line.quantity)).ok()?;
        (!is_stale && is_plain).then_some(count)
    }

    /// The tokens and the amount that a v2 pair emits.
    fn second_version(&self, pair: &Pair, reader: &mut Reader<'_>, events: &mut Events) -> Result<Trade, DecodeError> {
        let mut trade = self.trade(pair);
        let (amount, tokens, royalty) = match self.log.topic0() {
            Some(&OUT_IDS_ROYALTY | &IN_IDS_ROYALTY | &OUT_COUNT_ROYALTY | &IN_COUNT_ROYALTY) => {
                let [amount, tokens, royalty] = reader.head()?;
                (uint(amount), tokens, uint(royalty))
            }
            _ => {
                let [amount, tokens] = reader.head()?;
                (uint(amount), tokens, U256::ZERO)
            }
        };
        match (self.log.topic0(), pair.nft_id) {
            (Some(&OUT_IDS | &IN_IDS | &OUT_IDS_ROYALTY | &IN_IDS_ROYALTY), _) => {
                for token in reader.array(tokens)?.iter().map(uint) {
                    trade.lines.push(self.traded(pair, token, U256::ONE));
                }
            }
            (_, Some(token)) => trade.lines.push(self.traded(pair, token, uint(tokens))),
            (_, None) => return Ok(trade),
        }
        let trader = |line: &LineItem| if self.is_out() { line.buyer } else { line.seller };
        if trade.lines.iter().any(|line| trader(line).is_zero()) {
            trade.flags.push(self.trader_unknown());
        }
        trade.price = Some(amount);
        if pair.currency.is_zero() {
            self.trust_quote(pair, amount, royalty, &mut trade, events)?;
        } else {
            self.add_up(pair, amount, &mut trade)?;
        }
        Ok(trade)
    }

    /// A token that v2 names, between the pair and the one it moved to or from.
    fn traded(&self, pair: &Pair, token: U256, quantity: U256) -> LineItem {
        let mut moves = self
            .transfers
            .transfers_of_token_in(pair.nft, token, self.window.clone());
        let trader = moves.rfind(|movement| !self.is_out() || movement.from == self.log.address);
        let trader = trader.map_or(
            Address::ZERO,
            |movement| {
                if self.is_out() { movement.to } else { movement.from }
            },
        );
        self.line(pair, token, quantity, trader)
    }

    /// Takes the fees of a v2 trade in native currency from the quote before the block, if it is for the same amount.
    fn trust_quote(
        &self,
        pair: &Pair,
        amount: U256,
        royalty: U256,
        trade: &mut Trade,
        events: &mut Events,
    ) -> Result<(), DecodeError> {
        let Some(first) = trade.lines.first() else {
            return Ok(());
        };
        let (token, count) = (
            first.token.unwrap_or_default(),
            sum_of(trade.lines.iter().map(|line| line.quantity))?,
        );
        let selector = V2_QUOTES[usize::from(!self.is_out())];
        let quote = Call::of(self.log.address, selector, &[token.into(), count.into()]);
        // As of the block before: after the trade the pair quotes another price.
        let quote = quote.before_block(self.log.block_number);
        let quote = pair.is_proven.then(|| events.ask(self.transaction, quote));
        let quote = quote.and_then(|answer| answer.ok().flatten()).map(SecondQuote::of);
        match quote.filter(|quote| uint(quote.error).is_zero() && uint(quote.amount) == amount) {
            Some(quote) => {
                let (fee, royalty) = (uint(quote.protocol_fee), uint(quote.royalty_amount));
                if !self.is_out() {
                    trade.price = Some(sum(amount, sum(fee, royalty)?)?);
                    trade.allocation = PriceAllocation::Inferred;
                }
                trade.fee(pair.factory, fee, FeeKind::Marketplace);
                trade.fee(Address::ZERO, royalty, FeeKind::Royalty);
            }
            None => {
                trade.fee(Address::ZERO, royalty, FeeKind::Royalty);
                if self.is_out() {
                    trade.flags.push(flag::FEES_UNKNOWN);
                } else {
                    trade.price = Some(sum(amount, royalty)?);
                    trade.flags.push(flag::NET_ONLY);
                }
            }
        }
        Ok(())
    }

    /// Reads the fees of a v2 trade in an ERC-20 off its payments: what the pair keeps or the seller gets comes first.
    fn add_up(&self, pair: &Pair, amount: U256, trade: &mut Trade) -> Result<(), DecodeError> {
        let payments = self.transfers.payments(self.last..self.window.end).iter();
        let paid: Vec<&Payment> = payments
            .filter(|payment| payment.currency == pair.currency)
            .filter(|payment| (payment.from == self.log.address) != self.is_out())
            .collect();
        let total = sum_of(paid.iter().map(|payment| payment.amount))?;
        // Payments of the pair's currency may be of other trades: they count only where they make up the amount that was emitted.
        let adds_up = if self.is_out() {
            total == amount
        } else {
            paid.first().is_some_and(|payment| payment.amount == amount)
        };
        if !adds_up {
            trade.flags.push(if self.is_out() {
                flag::FEES_UNKNOWN
            } else {
                flag::NET_ONLY
            });
            return Ok(());
        }
        if !self.is_out() {
            trade.price = Some(total);
            trade.allocation = PriceAllocation::Inferred;
        }
        for payment in paid.iter().skip(1) {
            let kind = if payment.to == pair.factory {
                FeeKind::Marketplace
            } else {
                FeeKind::Royalty
            };
            trade.fee(payment.to, payment.amount, kind);
        }
        Ok(())
    }
}

/// The variant that a pair of either version returns.
fn variant(answer: Option<&Word>) -> Option<u8> {
    let variant = u8::try_from(uint(answer?)).ok()?;
    (variant < 4).then_some(variant)
}

fn is_true(answer: Option<&[Word; 1]>) -> bool {
    answer.is_some_and(|[word]| !uint(word).is_zero())
}
