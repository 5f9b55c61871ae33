//! What an ERC-20 contract reports of itself (EIP-20): `symbol()` and `decimals()`, as far as it can be trusted to mean it.

use alloy_primitives::{Address, U256};

use crate::block::{Answer, Answers, Call};
use crate::log_reader::{self, WORD_BYTES};

const SYMBOL: [u8; 4] = [0x95, 0xd8, 0x9b, 0x41];
const DECIMALS: [u8; 4] = [0x31, 0x3c, 0xe5, 0x67];

/// Digits after the point that an amount of 78 digits can have.
const MAX_DECIMALS: u64 = 77;
/// Characters of a symbol; what is longer is no symbol.
const LONGEST: usize = 32;

/// What a contract reported of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Such as `WETH`: whatever the contract likes to be called. Absent where it returns nothing that could be shown.
    pub symbol: Option<String>,
    /// Digits after the point of one whole unit, at most 77.
    pub decimals: Option<u8>,
}

/// The questions to `currency`.
pub fn questions(currency: Address) -> [Call; 2] {
    [SYMBOL, DECIMALS].map(|selector| Call::of(currency, selector, &[]))
}

/// What `answers` state of `currency`; nothing unless it answered both questions.
pub fn read(currency: Address, answers: &Answers) -> Option<Metadata> {
    let [symbol, decimals] = questions(currency).map(|question| answers.get(&question));
    Some(Metadata {
        symbol: returned(symbol?).and_then(symbol_of),
        decimals: returned(decimals?).and_then(decimals_of),
    })
}

fn returned(answer: &Answer) -> Option<&[u8]> {
    match answer {
        Answer::Returned(bytes) => Some(bytes),
        Answer::Reverted => None,
    }
}

/// A string, or as with MKR one word of text.
fn symbol_of(bytes: &[u8]) -> Option<String> {
    let text = if bytes.len() == WORD_BYTES {
        bytes
    } else {
        string(bytes)?
    };
    let end = text.iter().rposition(|byte| *byte != 0)? + 1;
    let symbol = std::str::from_utf8(&text[..end]).ok()?.trim();
    let shown = !symbol.is_empty() && symbol.chars().count() <= LONGEST && !symbol.chars().any(char::is_control);
    shown.then(|| symbol.to_owned())
}

fn string(bytes: &[u8]) -> Option<&[u8]> {
    let mut reader = log_reader::Reader::over(bytes);
    let [offset] = reader.head::<1>().ok()?;
    reader.bytes(log_reader::Tuple::ROOT, offset).ok()
}

fn decimals_of(bytes: &[u8]) -> Option<u8> {
    let word = bytes.get(..WORD_BYTES)?;
    let decimals = U256::try_from_be_slice(word)?;
    (decimals <= U256::from(MAX_DECIMALS)).then(|| decimals.to())
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Bytes, hex};

    use super::*;

    const TOKEN: Address = Address::repeat_byte(0x20);

    fn metadata(symbol: &Answer, decimals: &Answer) -> Metadata {
        let [asked_symbol, asked_decimals] = questions(TOKEN);
        let answers = [(asked_symbol, symbol.clone()), (asked_decimals, decimals.clone())];
        read(TOKEN, &answers.into_iter().collect()).unwrap()
    }

    fn word(bytes: &[u8]) -> Answer {
        let mut word = [0; WORD_BYTES];
        word[..bytes.len()].copy_from_slice(bytes);
        Answer::Returned(word.into())
    }

    fn number(number: u64) -> Answer {
        Answer::Returned(U256::from(number).to_be_bytes::<32>().into())
    }

    fn text(text: &[u8]) -> Answer {
        let mut bytes = U256::from(WORD_BYTES).to_be_bytes::<32>().to_vec();
        bytes.extend(U256::from(text.len()).to_be_bytes::<32>());
        bytes.extend(text);
        bytes.resize(bytes.len().next_multiple_of(WORD_BYTES), 0);
        Answer::Returned(bytes.into())
    }

    #[test]
    fn a_string_and_a_word_are_symbols() {
        let usdc = metadata(&text(b"USDC"), &number(6));
        assert_eq!(
            usdc,
            Metadata {
                symbol: Some("USDC".into()),
                decimals: Some(6)
            }
        );
        let mkr = metadata(&word(b"MKR"), &number(18));
        assert_eq!(mkr.symbol.as_deref(), Some("MKR"));
        assert_eq!(metadata(&text("Ξ".as_bytes()), &number(0)).symbol.as_deref(), Some("Ξ"));
    }

    #[test]
    fn what_cannot_be_shown_is_nothing() {
        let symbols = [
            text(b""),
            text(b"\0\0"),
            text(b"A\nB"),
            text(&[0xff, 0xfe]),
            text(&[b'A'; 33]),
            Answer::Returned(Bytes::new()),
            Answer::Returned(hex!("00ff").into()),
            // A string declared to be longer than what is there.
            Answer::Returned(
                [U256::from(32), U256::MAX]
                    .map(|word| word.to_be_bytes::<32>())
                    .concat()
                    .into(),
            ),
            Answer::Reverted,
        ];
        for symbol in symbols {
            assert_eq!(metadata(&symbol, &number(18)).symbol, None, "{symbol:?}");
        }
        for decimals in [
            number(78),
            word(&[0xff]),
            Answer::Returned(Bytes::new()),
            Answer::Reverted,
        ] {
            assert_eq!(metadata(&text(b"A"), &decimals).decimals, None, "{decimals:?}");
        }
    }

    #[test]
    fn without_both_answers_nothing_is_known() {
        let [symbol, _] = questions(TOKEN);
        assert_eq!(read(TOKEN, &[(symbol, Answer::Reverted)].into_iter().collect()), None);
    }
}
