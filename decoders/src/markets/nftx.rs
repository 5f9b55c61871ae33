//! NFTX v2 and v3 (decoding specification, section 4.15; `NFTX-project/nftx-protocol-v2`, `nftx-protocol-v3`).
//!
//! A vault gives one token of its own for one NFT and back. That alone is no sale; it is one where the vault's tokens were
//! bought or sold for it in the same transaction: by a zap, which states for how much, or at a pool, which shows in what it gave
//! and got. Anybody can emit what a vault emits, so the factory is asked whether it made the vault, and the vault what it holds.
//! Where no contract can be asked, the vault holds what moved, and the sale is flagged so.

use alloy_primitives::{Address, B256, U256, address, b256, hex};
use rustc_hash::FxHashMap;

use crate::block::{Call, Log};
use crate::chains;
use crate::decoder::{Claim, Decoder};
use crate::events::Events;
use crate::fact::{FeeKind, PriceAllocation, Side, Standard, flag, reason};
use crate::log_reader::{self, DecodeError, Reader, Word, sum, uint, words};
use crate::trade::transfer_index::{Payment, TransferIndex};
use crate::trade::{LineItem, Market, Trade, sum_of};
use crate::transaction::Transaction;

const V2_FACTORIES: &[(u64, Address)] = &[
    (chains::ETHEREUM, address!("be86f647b167567525ccaafcd6f881f1ee558216")),
    (chains::ARBITRUM, address!("e77b89fec41a7b7dc74eb33602e82f0672fbb33c")),
];
const V3_FACTORIES: &[(u64, Address)] = &[
    (chains::ETHEREUM, address!("c255335bc5abd6928063f5788a5e420554858f01")),
    (chains::BASE, address!("0d74b761eab5cc7cc0e4e625a2e2b8251a4915c6")),
    (chains::ARBITRUM, address!("4deeb9d2bff2e9c35ce1f013dcc4582f891cb711")),
];
const V2_ZAPS: &[(u64, Address)] = &[
    (chains::ETHEREUM, address!("0fc584529a2aefa997697fafacba5831fac0c22d")),
    (chains::ARBITRUM, address!("66f26e38bd50fd52a50da8e87e435f04f98001b7")),
];
const V3_ZAPS: &[(u64, Address)] = &[(chains::ETHEREUM, address!("293a0c49c85f1d8851c665ac3ce1f1dc2a79be3d"))];
const WRAPPED: &[(u64, Address)] = &[
    (chains::ETHEREUM, address!("c02aaa39b223fe8d0a0e5c4f27ead9083c756cc2")),
    (chains::BASE, address!("4200000000000000000000000000000000000006")),
    (chains::ARBITRUM, address!("82af49447d8a07e3bd95bd0d56f35241523fbab1")),
];

/// v2 `Minted(uint256[],uint256[],address)`.
const V2_MINTED: B256 = b256!("1f72ad2a14447fa756b6f5aca53504645af79813493aca2d906b69e4aaeb9492");
/// v2 `Redeemed(uint256[],uint256[],address)`.
const V2_REDEEMED: B256 = b256!("63b13f6307f284441e029836b0c22eb91eb62a7ad555670061157930ce884f4e");
/// v3 `Minted(uint256[],uint256[],address,address)`.
const V3_MINTED: B256 = b256!("f03937e99971e84e889dea1d728cb1c06a82314f012c0d203598c3d30fff4bd9");
/// v3 `Redeemed(uint256[],address)`.
const V3_REDEEMED: B256 = b256!("ddf3c6319e89d061b877ebc529b0fd59410499b5bf683cffa46d5807dd13c600");
/// v2 `Buy(uint256,uint256,address)` of the zap.
const V2_BUY: B256 = b256!("f7735c8cb2a65788ca663fc8415b7c6a66cd6847d58346d8334e8d52a599d3df");
/// v2 `Sell(uint256,uint256,address)` of the zap.
const V2_SELL: B256 = b256!("1cdb5ee3c47e1a706ac452b89698e5e3f2ff4f835ca72dde8936d0f4fcf37d81");
/// v3 `Buy(uint256[],uint256,address,uint256)` of the zap.
const V3_BUY: B256 = b256!("a518bec233b2dd0e6a19c984880453c9f7b4fe3a1c4bc34b1cc7787b8c20ca7e");
/// v3 `Sell(uint256,uint256,address,uint256,uint256)` of the zap.
const V3_SELL: B256 = b256!("c706440ccd390e6026d6dea5168f7f722c16651f088fae07e3b439569b3bec7e");

words! {
    /// What [`V3_SELL`] states.
    struct Sell { count, eth_received, to, net_royalty_amount, weth_fees }
}

/// `vaultId()`: the vault's number at its factory.
const VAULT_ID: [u8; 4] = hex!("33194c0a");
/// `vault(uint256)` of the factory.
const VAULT: [u8; 4] = hex!("81a36fb6");
/// `assetAddress()`: zero once the vault is shut down.
const ASSET_ADDRESS: [u8; 4] = hex!("1ba46cfd");
/// `is1155()`.
const IS_1155: [u8; 4] = hex!("06f26dc2");

/// What a vault gives for one NFT, in the smallest unit of its token.
const ONE: u64 = 1_000_000_000_000_000_000;

/// Both versions.
pub(crate) const DECODER: Decoder = Decoder {
    name: "nftx",
    claims: &[
        Claim::any(V2_MINTED, 1).asking().with_envelope(),
        Claim::any(V2_REDEEMED, 1).asking().with_envelope(),
        Claim::any(V3_MINTED, 1).asking().with_envelope(),
        Claim::any(V3_REDEEMED, 1).asking().with_envelope(),
        Claim::of(V2_ZAPS, V2_BUY, 1),
        Claim::of(V2_ZAPS, V2_SELL, 1),
        Claim::of(V3_ZAPS, V3_BUY, 1),
        Claim::of(V3_ZAPS, V3_SELL, 1),
    ],
    factories: &[V2_FACTORIES, V3_FACTORIES],
    decode,
    ..Decoder::NONE
};

fn decode(transaction: &Transaction<'_>, events: &mut Events) {
    let transfers = events.transfer_index(transaction);
    let claimed: Vec<&Log> = transaction.claimed().collect();
    let purse = Purse::of(transaction, &transfers, &claimed);
    for (index, log) in claimed.iter().enumerate().filter(|(_, log)| is_exchange(log)) {
        let exchange = Exchange {
            transaction,
            transfers: &transfers,
            log,
            zap: claimed.get(index + 1).copied().filter(|next| is_zap_of(next, log)),
            swap: purse.swap(log),
        };
        let verdict = exchange.emit(events);
        events.settle(log, verdict);
    }
}

fn is_exchange(log: &Log) -> bool {
    matches!(
        log.topic0(),
        Some(&V2_MINTED | &V2_REDEEMED | &V3_MINTED | &V3_REDEEMED)
    )
}

/// Whether a vault gave NFTs.
fn is_redeemed(log: &Log) -> bool {
    matches!(log.topic0(), Some(&V2_REDEEMED | &V3_REDEEMED))
}

/// Whether `zap` may state the price of the exchange before it.
fn is_zap_of(zap: &Log, exchange: &Log) -> bool {
    matches!(
        (exchange.topic0(), zap.topic0()),
        (Some(&V2_MINTED), Some(&V2_SELL))
            | (Some(&V2_REDEEMED), Some(&V2_BUY))
            | (Some(&V3_MINTED), Some(&V3_SELL))
            | (Some(&V3_REDEEMED), Some(&V3_BUY))
    )
}

/// What a vault holds.
struct Vault {
    asset: Address,
    is_1155: bool,
    /// Whether the factory lists it.
    is_proven: bool,
}

/// What the NFTs of one exchange cost.
struct Price {
    currency: Address,
    amount: U256,
    allocation: PriceAllocation,
    royalty: U256,
    vault_fee: U256,
    flag: Option<&'static str>,
}

/// NFTs for tokens of a contract that may be a vault.
struct Exchange<'a, 't> {
    transaction: &'a Transaction<'t>,
    transfers: &'a TransferIndex,
    log: &'a Log,
    /// What a zap states of it.
    zap: Option<&'a Log>,
    /// What pools show of it.
    swap: Option<Swap>,
}

impl Exchange<'_, '_> {
    /// Emits the sale, if there was one and the contract is a vault. Where nothing was bought or sold nothing is asked.
    fn emit(&self, events: &mut Events) -> Result<Option<&'static str>, DecodeError> {
        if self.zap.is_none() && self.swap.is_none() {
            return Ok(None);
        }
        let vault = match self.vault(events) {
            Ok(vault) => vault,
            Err(error) if !events.may_ask() => return Err(error),
            Err(error) => Some(self.seen_vault().ok_or(error)?),
        };
        let Some(vault) = vault else { return Ok(None) };
        let mut reader = Reader::new(self.log);
        let lines = self.lines(&vault, &mut reader)?;
        let count = sum_of(lines.iter().map(|line| line.quantity))?;
        if let Some(price) = self.price(count)? {
            let mut trade = self.trade(&price, lines);
            trade.flags.extend((!vault.is_proven).then_some(flag::UNPROVEN));
            events.trade(self.log, trade);
        }
        Ok(reader.warning())
    }

    fn is_second_version(&self) -> bool {
        matches!(self.log.topic0(), Some(&V2_MINTED | &V2_REDEEMED))
    }

    /// The vault that the contract is. One that has no number, or another at the factory, is asked nothing more.
    fn vault(&self, events: &mut Events) -> Result<Option<Vault>, DecodeError> {
        let factories = if self.is_second_version() {
            V2_FACTORIES
        } else {
            V3_FACTORIES
        };
        let Some(factory) = self.transaction.here(factories) else {
            return Ok(None);
        };
        let address = self.log.address;
        let Some(number) = events.view(self.transaction, address, VAULT_ID)? else {
            return Ok(None);
        };
        let call = Call::of(factory, VAULT, &[(*number).into()]);
        // Anyone can deploy a contract that answers like a vault, so the factory has the last word.
        let listed = events.ask::<1>(self.transaction, call)?;
        if listed.is_none_or(|[word]| log_reader::address(word) != address) {
            return Ok(None);
        }
        let asset = events.view(self.transaction, address, ASSET_ADDRESS);
        let is_1155 = events.view(self.transaction, address, IS_1155);
        let (Some(mut asset), Some(is_1155)) = (asset?.map(log_reader::address), is_1155?) else {
            return Ok(None);
        };
        if asset.is_zero() {
            let call = Call::of(address, ASSET_ADDRESS, &[]).before_block(self.log.block_number);
            asset = events
                .ask::<1>(self.transaction, call)?
                .map_or(Address::ZERO, |[word]| log_reader::address(word));
        }
        Ok((!asset.is_zero()).then_some(Vault {
            asset,
            is_1155: !uint(is_1155).is_zero(),
            is_proven: true,
        }))
    }

    /// The vault that the contract would be, going by the first of the tokens it names, which it gave or got.
    fn seen_vault(&self) -> Option<Vault> {
        let mut reader = Reader::new(self.log);
        let [tokens, _] = reader.head().ok()?;
        let first = uint(reader.array(tokens).ok()?.first()?);
        let moved = self
            .transfers
            .movements(0..self.log.log_index)
            .iter()
            .rfind(|movement| {
                let holder = if is_redeemed(self.log) {
                    movement.from
                } else {
                    movement.to
                };
                holder == self.log.address && movement.token == first
            })?;
        Some(Vault {
            asset: moved.contract,
            is_1155: !moved.standard.single_owner(),
            is_proven: false,
        })
    }

    /// The NFTs that the vault names, between it and the one who brought or got them.
    fn lines(&self, vault: &Vault, reader: &mut Reader<'_>) -> Result<Vec<LineItem>, DecodeError> {
        let ones = |tokens: &[Word]| tokens.iter().map(|token| (uint(token), U256::ONE)).collect();
        let (items, named): (Vec<(U256, U256)>, _) = match self.log.topic0() {
            Some(&V2_MINTED) => {
                let [tokens, amounts, _to] = reader.head()?;
                (Self::minted(vault, reader, tokens, amounts)?, None)
            }
            Some(&V3_MINTED) => {
                let [tokens, amounts, _to, depositor] = reader.head()?;
                let items = Self::minted(vault, reader, tokens, amounts)?;
                (items, Some(reader.address(depositor)))
            }
            Some(&V2_REDEEMED) => {
                let [tokens, specific, to] = reader.head()?;
                reader.array(specific)?;
                (ones(reader.array(tokens)?), Some(reader.address(to)))
            }
            _ => {
                let [tokens, to] = reader.head()?;
                (ones(reader.array(tokens)?), Some(reader.address(to)))
            }
        };
        let items = items.into_iter();
        Ok(items.map(|item| self.line(vault, item, named)).collect())
    }

    /// Tokens with their quantities. Amounts of single tokens may be anything, or missing.
    fn minted(
        vault: &Vault,
        reader: &mut Reader<'_>,
        tokens: &Word,
        amounts: &Word,
    ) -> Result<Vec<(U256, U256)>, DecodeError> {
        let (tokens, amounts) = (
            reader.array(tokens)?.iter().map(uint),
            reader.array(amounts)?.iter().map(uint),
        );
        if !vault.is_1155 {
            return Ok(tokens.map(|token| (token, U256::ONE)).collect());
        }
        if tokens.len() != amounts.len() {
            return Err(DecodeError(reason::BATCH_LENGTH_MISMATCH));
        }
        Ok(tokens.zip(amounts).collect())
    }

    fn line(&self, vault: &Vault, (token, quantity): (U256, U256), named: Option<Address>) -> LineItem {
        let address = self.log.address;
        let line = LineItem {
            standard: if vault.is_1155 {
                Standard::Erc1155
            } else {
                Standard::Erc721
            },
            ..LineItem::of(vault.asset, token, quantity)
        };
        if is_redeemed(self.log) {
            return line.between(address, named.unwrap_or_default());
        }
        let brought = || {
            let mut moves = self
                .transfers
                .transfers_of(vault.asset, token)
                .map(|(_, movement)| movement);
            moves.find(|movement| movement.to == address)
        };
        let seller = named.or_else(|| brought().map(|movement| movement.from));
        line.between(seller.unwrap_or_default(), address)
    }

    /// What `count` NFTs cost. The second zap's word is taken where the pools do not show otherwise: one of its functions states
    /// the wrong number.
    fn price(&self, count: U256) -> Result<Option<Price>, DecodeError> {
        let pooled = self.swap.as_ref().and_then(|swap| self.pooled(swap, count));
        let zapped = self.zap.map(|zap| self.zapped(zap, count)).transpose()?.flatten();
        let differs = |price: &Price| pooled.as_ref().is_some_and(|pooled| pooled.amount != price.amount);
        match zapped {
            Some(price) if !self.is_second_version() || !differs(&price) => Ok(Some(price)),
            _ => Ok(pooled),
        }
    }

    /// What a zap states, if it states it of as many NFTs.
    fn zapped(&self, zap: &Log, count: U256) -> Result<Option<Price>, DecodeError> {
        let mut reader = Reader::new(zap);
        let mut price = Price {
            currency: Address::ZERO,
            amount: U256::ZERO,
            allocation: PriceAllocation::Exact,
            royalty: U256::ZERO,
            vault_fee: U256::ZERO,
            flag: Some(flag::FEES_UNKNOWN),
        };
        let named = match zap.topic0() {
            Some(&V3_BUY) => {
                let [tokens, spent, _to, royalty] = reader.head()?;
                (price.amount, price.royalty) = (uint(spent), uint(royalty));
                U256::from(reader.array(tokens)?.len())
            }
            Some(&V3_SELL) => {
                let sell = Sell::of(reader.head()?);
                (price.royalty, price.vault_fee) = (uint(sell.net_royalty_amount), uint(sell.weth_fees));
                price.amount = sum(uint(sell.eth_received), sum(price.royalty, price.vault_fee)?)?;
                price.flag = None;
                uint(sell.count)
            }
            _ => {
                let [named, amount, _to] = reader.head()?;
                price.amount = uint(amount);
                uint(named)
            }
        };
        Ok((named == count).then_some(price))
    }

    /// What pools show, if it was for about as many of the vault's tokens as the NFTs are worth.
    fn pooled(&self, swap: &Swap, count: U256) -> Option<Price> {
        let worth = count.checked_mul(U256::from(ONE))?;
        let fits = swap.tokens >= worth / U256::from(2) && swap.tokens / U256::from(2) <= worth;
        fits.then_some(Price {
            currency: swap.currency,
            amount: swap.amount,
            allocation: PriceAllocation::Inferred,
            royalty: U256::ZERO,
            vault_fee: U256::ZERO,
            flag: Some(if is_redeemed(self.log) && !self.is_second_version() {
                flag::FEES_ON_TOP_UNKNOWN
            } else {
                flag::FEES_UNKNOWN
            }),
        })
    }

    fn trade(&self, price: &Price, lines: Vec<LineItem>) -> Trade {
        let market = Market {
            name: "nftx",
            version: if self.is_second_version() { "v2" } else { "v3" },
        };
        let side = if is_redeemed(self.log) {
            Side::AmmBuy
        } else {
            Side::AmmSell
        };
        let nothing = LineItem::of(Address::ZERO, U256::ZERO, U256::ONE);
        let mut trade = Trade {
            maker: self.log.address,
            currency: price.currency,
            allocation: price.allocation,
            ..Trade::of(market, side, nothing, price.amount)
        };
        trade.flags.extend(price.flag);
        if lines.iter().any(|line| line.seller.is_zero()) {
            trade.flags.push(flag::SELLER_UNKNOWN);
        }
        if lines.iter().any(|line| line.buyer.is_zero()) {
            trade.flags.push(flag::BUYER_UNKNOWN);
        }
        trade.lines = lines.into();
        // Amounts are emitted without their receivers.
        trade.fee(Address::ZERO, price.royalty, FeeKind::Royalty);
        trade.fee(Address::ZERO, price.vault_fee, FeeKind::Marketplace);
        trade
    }
}

/// What pools gave or got for tokens of a vault.
struct Swap {
    tokens: U256,
    currency: Address,
    amount: U256,
}

/// What was paid in a transaction in wrapped native currency and in tokens of what may be vaults.
struct Purse {
    wrapped: Option<Address>,
    money: Flows,
    /// By contract, with how often it gave and took NFTs.
    vaults: FxHashMap<Address, (Flows, [usize; 2])>,
}

impl Purse {
    fn of(transaction: &Transaction<'_>, transfers: &TransferIndex, claimed: &[&Log]) -> Self {
        let mut purse = Purse {
            wrapped: transaction.here(WRAPPED),
            money: Flows::default(),
            vaults: FxHashMap::default(),
        };
        for log in claimed.iter().filter(|log| is_exchange(log)) {
            purse.vaults.entry(log.address).or_default().1[usize::from(is_redeemed(log))] += 1;
        }
        for payment in transfers.payments(0..u32::MAX) {
            if Some(payment.currency) == purse.wrapped {
                purse.money.add(payment);
            } else if let Some((tokens, _)) = purse.vaults.get_mut(&payment.currency) {
                tokens.add(payment);
            }
        }
        purse
    }

    /// What pools gave or got for the exchange `log`, unless there was another of its kind with the same contract. A pool is
    /// who gave the one and took the other; who only passes both on is none.
    fn swap(&self, log: &Log) -> Option<Swap> {
        let (flows, exchanges) = self.vaults.get(&log.address)?;
        let is_sole = exchanges[usize::from(is_redeemed(log))] == 1;
        let (mut tokens, mut amount) = (U256::ZERO, U256::ZERO);
        for holder in flows
            .holders()
            .filter(|holder| !holder.is_zero() && *holder != log.address)
        {
            let (swapped, paid) = if is_redeemed(log) {
                (flows.given(holder), self.money.taken(holder))
            } else {
                (flows.taken(holder), self.money.given(holder))
            };
            if !swapped.is_zero() && !paid.is_zero() {
                tokens = tokens.saturating_add(swapped);
                amount = amount.saturating_add(paid);
            }
        }
        (is_sole && !amount.is_zero()).then_some(Swap {
            tokens,
            currency: self.wrapped?,
            amount,
        })
    }
}

/// What each holder of one ERC-20 gave and took in a transaction. Amounts no chain could hold count as all there is.
#[derive(Default)]
struct Flows(FxHashMap<Address, (U256, U256)>);

impl Flows {
    fn add(&mut self, payment: &Payment) {
        let given = &mut self.0.entry(payment.from).or_default().0;
        *given = given.saturating_add(payment.amount);
        let taken = &mut self.0.entry(payment.to).or_default().1;
        *taken = taken.saturating_add(payment.amount);
    }

    fn holders(&self) -> impl Iterator<Item = Address> {
        self.0.keys().copied()
    }

    /// What `holder` gave beyond what it took.
    fn given(&self, holder: Address) -> U256 {
        let (given, taken) = self.0.get(&holder).copied().unwrap_or_default();
        given.saturating_sub(taken)
    }

    /// What `holder` took beyond what it gave.
    fn taken(&self, holder: Address) -> U256 {
        let (given, taken) = self.0.get(&holder).copied().unwrap_or_default();
        taken.saturating_sub(given)
    }
}
