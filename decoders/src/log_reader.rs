//! A tolerant reader of one log's ABI words: bounds are strict, oddities are accepted and remembered.
//!
//! The rules are those of the decoding specification, section 0.2: data longer than needed is accepted with a warning, data
//! shorter than its head or an array outside the data refuses the log, a dirty address is masked with a warning, and offsets
//! may overlap or point backwards as long as they stay inside. Nothing is copied and nothing is allocated.

use alloy_primitives::{Address, B256, U256};

use crate::block::Log;
use crate::fact::reason;

pub(crate) const WORD_BYTES: usize = 32;
const ADDRESS_PADDING: usize = 12;

/// One ABI word.
pub type Word = [u8; WORD_BYTES];

/// Names the words of an event, a tuple or an answer in the order in which Solidity declares them, so that the definition reads
/// like a signature: one field per word, its parameter's name in snake case, and `_at` behind it where the word is the offset of
/// something dynamic. `of` takes exactly as many words, which is how [`Reader::head`], [`Reader::words`], [`Reader::records`] and
/// [`crate::events::Events::ask`] infer how many to read: `let sold = Sold::of(reader.head()?);`. Whatever has more than four
/// words is read this way.
macro_rules! words {
    ($($(#[$about:meta])* $visibility:vis struct $name:ident { $($word:ident),+ $(,)? })+) => {$(
        $(#[$about])*
        // Comparing reads every field: a word that no decoder needs has its name and no warning all the same.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $visibility struct $name<'a> {
            $(pub(crate) $word: &'a $crate::log_reader::Word,)+
        }

        impl<'a> $name<'a> {
            /// Names `words`.
            $visibility fn of(words: &'a [$crate::log_reader::Word; [$(stringify!($word)),+].len()]) -> Self {
                let [$($word),+] = words;
                $name { $($word),+ }
            }
        }
    )+};
}
pub(crate) use words;

/// Where a tuple starts in the data; offsets inside it count from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuple(usize);

impl Tuple {
    /// The arguments of the event itself.
    pub const ROOT: Tuple = Tuple(0);
}

/// Why a log is not accepted at all: one of [`reason`]'s refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError(pub &'static str);

/// Reads the words of one log and remembers the first thing about them that was odd.
#[derive(Debug)]
pub struct Reader<'a> {
    topics: &'a [B256],
    data: &'a [u8],
    /// End of the furthest bytes some value needed.
    needed: usize,
    warning: Option<&'static str>,
}

impl<'a> Reader<'a> {
    /// A reader at the start of `log`.
    pub fn new(log: &'a Log) -> Self {
        Reader {
            topics: &log.topics,
            data: &log.data,
            needed: 0,
            warning: None,
        }
    }

    /// A reader of ABI words that lie within a log, such as the `bytes` argument of an event.
    pub fn over(data: &'a [u8]) -> Self {
        Reader {
            topics: &[],
            data,
            needed: 0,
            warning: None,
        }
    }

    /// Topic `index` as a number. The decoder's claim has fixed how many topics there are.
    pub fn topic_uint(&self, index: usize) -> U256 {
        uint(&self.topics[index].0)
    }

    /// Topic `index` as an address. The decoder's claim has fixed how many topics there are.
    pub fn topic_address(&mut self, index: usize) -> Address {
        self.address(&self.topics[index].0)
    }

    /// The low 20 bytes of `word`.
    pub fn address(&mut self, word: &Word) -> Address {
        let (padding, address) = word.split_at(ADDRESS_PADDING);
        if padding.iter().any(|byte| *byte != 0) {
            self.warning.get_or_insert(reason::DIRTY_ADDRESS);
        }
        Address::from_slice(address)
    }

    /// The first `N` words of the data.
    ///
    /// # Errors
    /// Refuses data that is shorter, and data that is not whole words: no event read here ends in `bytes` or `string`.
    pub fn head<const N: usize>(&mut self) -> Result<&'a [Word; N], DecodeError> {
        let (words, rest) = self.data.as_chunks::<WORD_BYTES>();
        let head = words.first_chunk::<N>().ok_or(DecodeError(reason::DATA_TOO_SHORT))?;
        if !rest.is_empty() {
            return Err(DecodeError(reason::DATA_NOT_WORDS));
        }
        self.needed = self.needed.max(N * WORD_BYTES);
        Ok(head)
    }

    /// The array of one-word elements that the head word `offset` points to, counted from the start of the data.
    ///
    /// # Errors
    /// Refuses an array that is not wholly inside the data; the data's own length bounds what is returned.
    pub fn array(&mut self, offset: &Word) -> Result<&'a [Word], DecodeError> {
        let elements = self.array_at(offset).ok_or(DecodeError(reason::DATA_TOO_SHORT))?;
        Ok(elements)
    }

    fn array_at(&mut self, offset: &Word) -> Option<&'a [Word]> {
        let (length, elements) = self.data.get(length(offset)?..)?.split_first_chunk::<WORD_BYTES>()?;
        let elements = elements.as_chunks::<WORD_BYTES>().0.get(..self::length(length)?)?;
        // The offset was in bounds, so the sum is at most the data's length.
        let end = self::length(offset)? + WORD_BYTES + elements.len() * WORD_BYTES;
        self.needed = self.needed.max(end);
        Some(elements)
    }

    /// The first `N` words of a tuple.
    ///
    /// # Errors
    /// Refuses a tuple that is not wholly inside the data.
    pub fn words<const N: usize>(&mut self, tuple: Tuple) -> Result<&'a [Word; N], DecodeError> {
        let words = self.data.get(tuple.0..).ok_or(DecodeError(reason::DATA_TOO_SHORT))?;
        let words = words.as_chunks::<WORD_BYTES>().0.first_chunk::<N>();
        // The tuple starts inside the data and its words end there.
        self.needed = self.needed.max(tuple.0 + words.map_or(0, |_| N * WORD_BYTES));
        words.ok_or(DecodeError(reason::DATA_TOO_SHORT))
    }

    /// The tuple that the word `offset` of the tuple `within` points to.
    ///
    /// # Errors
    /// Refuses a tuple that starts outside the data.
    pub fn tuple(&self, within: Tuple, offset: &Word) -> Result<Tuple, DecodeError> {
        length(offset)
            .and_then(|offset| within.0.checked_add(offset))
            .filter(|start| *start <= self.data.len())
            .map(Tuple)
            .ok_or(DecodeError(reason::DATA_TOO_SHORT))
    }

    /// The array of `N`-word elements that the word `offset` of the tuple `within` points to.
    ///
    /// # Errors
    /// Refuses an array that is not wholly inside the data; the data's own length bounds what is returned.
    pub fn records<const N: usize>(&mut self, within: Tuple, offset: &Word) -> Result<&'a [[Word; N]], DecodeError> {
        let start = self.tuple(within, offset)?.0;
        let records = self.records_at(start).ok_or(DecodeError(reason::DATA_TOO_SHORT))?;
        self.needed = self.needed.max(start + WORD_BYTES + records.len() * N * WORD_BYTES);
        Ok(records)
    }

    fn records_at<const N: usize>(&self, start: usize) -> Option<&'a [[Word; N]]> {
        let (length, elements) = self.data.get(start..)?.split_first_chunk::<WORD_BYTES>()?;
        let elements = elements.as_chunks::<WORD_BYTES>().0.as_chunks::<N>().0;
        elements.get(..self::length(length)?)
    }

    /// The one-word elements of the array that the word `offset` of the tuple `within` points to.
    ///
    /// # Errors
    /// As [`records`](Reader::records).
    pub fn list(&mut self, within: Tuple, offset: &Word) -> Result<&'a [Word], DecodeError> {
        Ok(self.records::<1>(within, offset)?.as_flattened())
    }

    /// The tuples of the array, of elements with offsets of their own, that the word `offset` of the tuple `within` points to.
    ///
    /// # Errors
    /// Refuses an array that is not wholly inside the data, and elements that start outside it.
    pub fn tuples(&mut self, within: Tuple, offset: &Word) -> Result<Vec<Tuple>, DecodeError> {
        let offsets = self.list(within, offset)?;
        // The array's length was read, so its first element starts inside the data.
        let elements = Tuple(self.tuple(within, offset)?.0 + WORD_BYTES);
        offsets.iter().map(|offset| self.tuple(elements, offset)).collect()
    }

    /// The bytes that the word `offset` of the tuple `within` points to; their padding may be missing.
    ///
    /// # Errors
    /// Refuses bytes that are not wholly inside the data.
    pub fn bytes(&mut self, within: Tuple, offset: &Word) -> Result<&'a [u8], DecodeError> {
        let start = self.tuple(within, offset)?.0;
        let bytes = self.bytes_at(start).ok_or(DecodeError(reason::DATA_TOO_SHORT))?;
        let padded = bytes.len().next_multiple_of(WORD_BYTES);
        self.needed = self.needed.max(start + WORD_BYTES + padded);
        Ok(bytes)
    }

    fn bytes_at(&self, start: usize) -> Option<&'a [u8]> {
        let (length, bytes) = self.data.get(start..)?.split_first_chunk::<WORD_BYTES>()?;
        bytes.get(..self::length(length)?)
    }

    /// What was odd about the log, if anything; asked last, because data beyond what was read counts.
    pub fn warning(self) -> Option<&'static str> {
        self.warning
            .or((self.data.len() > self.needed).then_some(reason::TRAILING_DATA))
    }
}

/// The low 20 bytes of a word that a contract answered.
pub fn address(word: &Word) -> Address {
    Address::from_word((*word).into())
}

/// `word` as a number.
pub fn uint(word: &Word) -> U256 {
    U256::from_be_bytes(*word)
}

/// The sum of `a` and `b`.
///
/// # Errors
/// Refuses amounts no chain could hold.
pub fn sum(a: U256, b: U256) -> Result<U256, DecodeError> {
    a.checked_add(b).ok_or(DecodeError(reason::AMOUNT_OVERFLOW))
}

/// The share `rate` of `amount`, `whole` being all of it, rounded down as contracts do.
///
/// # Errors
/// Refuses amounts no chain could hold.
pub fn share(amount: U256, rate: U256, whole: u64) -> Result<U256, DecodeError> {
    let product = amount.checked_mul(rate).ok_or(DecodeError(reason::AMOUNT_OVERFLOW))?;
    Ok(product / U256::from(whole))
}

/// `word` as an offset or a length; `None` when no data in memory could be that long.
fn length(word: &Word) -> Option<usize> {
    let (high, low) = word.split_last_chunk::<8>()?;
    high.iter()
        .all(|byte| *byte == 0)
        .then(|| u64::from_be_bytes(*low))
        .and_then(|low| usize::try_from(low).ok())
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Bytes;
    use smallvec::smallvec;

    use super::*;

    fn log(data: Vec<u8>) -> Log {
        Log {
            block_number: 1,
            log_index: 0,
            tx_index: 0,
            tx_hash: B256::ZERO,
            address: Address::ZERO,
            topics: smallvec![B256::ZERO, B256::repeat_byte(0xff)],
            data: Bytes::from(data),
        }
    }

    fn words(values: &[u64]) -> Vec<u8> {
        values
            .iter()
            .flat_map(|value| U256::from(*value).to_be_bytes::<32>())
            .collect()
    }

    #[test]
    fn a_head_needs_whole_words() {
        let exact = log(words(&[1, 2]));
        let mut reader = Reader::new(&exact);
        assert_eq!(reader.head::<2>().map(|head| uint(&head[1])), Ok(U256::from(2)));
        assert_eq!(reader.warning(), None);

        let short = log(words(&[1]));
        assert_eq!(
            Reader::new(&short).head::<2>(),
            Err(DecodeError(reason::DATA_TOO_SHORT))
        );

        let mut ragged = words(&[1, 2]);
        ragged.push(0);
        let ragged = log(ragged);
        assert_eq!(
            Reader::new(&ragged).head::<2>(),
            Err(DecodeError(reason::DATA_NOT_WORDS))
        );
    }

    #[test]
    fn longer_data_and_dirty_addresses_are_accepted_with_a_doubt() {
        let long = log(words(&[1, 2, 3]));
        let mut reader = Reader::new(&long);
        assert!(reader.head::<2>().is_ok());
        assert_eq!(reader.warning(), Some(reason::TRAILING_DATA));

        let mut reader = Reader::new(&long);
        assert_eq!(reader.topic_address(1), Address::repeat_byte(0xff));
        assert_eq!(
            reader.warning(),
            Some(reason::DIRTY_ADDRESS),
            "the first warning is the one kept"
        );
    }

    #[test]
    fn arrays_may_overlap_and_stand_anywhere_inside() {
        // Both heads point to the same array, which starts inside the head: its length is the second head word.
        let overlapping = log(words(&[32, 2, 7, 8]));
        let mut reader = Reader::new(&overlapping);
        let head = reader.head::<1>().unwrap();
        assert_eq!(
            reader.array(&head[0]).unwrap().iter().map(uint).collect::<Vec<_>>(),
            [U256::from(7), U256::from(8)]
        );
        assert_eq!(reader.warning(), None);
    }

    #[test]
    fn arrays_outside_the_data_refuse_the_log() {
        for (offset, length) in [(64, 0), (u64::MAX, 0), (32, 1), (32, u64::MAX)] {
            let outside = log(words(&[offset, length]));
            let mut reader = Reader::new(&outside);
            let head = reader.head::<1>().unwrap();
            assert_eq!(
                reader.array(&head[0]),
                Err(DecodeError(reason::DATA_TOO_SHORT)),
                "{offset} {length}"
            );
        }
        let huge = log(vec![0xff; 64]);
        let mut reader = Reader::new(&huge);
        let head = reader.head::<1>().unwrap();
        assert_eq!(reader.array(&head[0]), Err(DecodeError(reason::DATA_TOO_SHORT)));
    }
}
