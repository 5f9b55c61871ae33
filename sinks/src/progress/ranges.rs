//! Sets of blocks: ranges in ascending order that do not touch.

use std::ops::RangeInclusive;

/// A set of blocks.
pub(crate) type Ranges = Vec<RangeInclusive<u64>>;

/// Sorts ranges and joins those that touch.
pub(crate) fn merge(mut ranges: Ranges) -> Ranges {
    ranges.sort_unstable_by_key(|range| *range.start());
    let mut merged: Ranges = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if *range.start() <= last.end().saturating_add(1) => {
                *last = *last.start()..=*last.end().max(range.end());
            }
            _ => merged.push(range),
        }
    }
    merged
}

/// The blocks of either.
pub(crate) fn union(one: &[RangeInclusive<u64>], other: &[RangeInclusive<u64>]) -> Ranges {
    merge(one.iter().chain(other).cloned().collect())
}

/// The blocks of both.
pub(crate) fn common(one: &[RangeInclusive<u64>], other: &[RangeInclusive<u64>]) -> Ranges {
    let mut common = Ranges::new();
    let (mut left, mut right) = (one.iter().peekable(), other.iter().peekable());
    while let (Some(one), Some(other)) = (left.peek(), right.peek()) {
        let both = *one.start().max(other.start())..=*one.end().min(other.end());
        if !both.is_empty() {
            common.push(both);
        }
        if one.end() < other.end() {
            left.next();
        } else {
            right.next();
        }
    }
    common
}

/// The blocks of `one` that `other` does not have.
pub(crate) fn less(one: &[RangeInclusive<u64>], other: &[RangeInclusive<u64>]) -> Ranges {
    let mut left = Ranges::new();
    for range in one {
        let mut next = Some(*range.start());
        let from = other.partition_point(|taken| taken.end() < range.start());
        for taken in other[from..].iter().take_while(|taken| taken.start() <= range.end()) {
            match next {
                Some(first) if first < *taken.start() => left.push(first..=taken.start() - 1),
                _ => {}
            }
            next = taken.end().checked_add(1);
        }
        if let Some(first) = next.filter(|first| first <= range.end()) {
            left.push(first..=*range.end());
        }
    }
    left
}

/// The blocks from `first` on.
pub(crate) fn above(ranges: &[RangeInclusive<u64>], first: u64) -> Ranges {
    common(ranges, &[first..=u64::MAX])
}

/// Whether `block` is among them.
pub(crate) fn holds(ranges: &[RangeInclusive<u64>], block: u64) -> bool {
    let at = ranges.partition_point(|range| *range.end() < block);
    ranges.get(at).is_some_and(|range| range.contains(&block))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A set of the blocks below sixteen, one per bit.
    fn set(bits: u32) -> Ranges {
        merge(
            (0..16)
                .filter(|bit| bits & 1 << bit != 0)
                .map(|bit| bit..=bit)
                .collect(),
        )
    }

    #[test]
    fn sets_of_blocks_are_sets() {
        let sample = (0u32..1 << 16).step_by(211);
        for one in sample.clone() {
            for other in sample.clone().step_by(7) {
                assert_eq!(union(&set(one), &set(other)), set(one | other));
                assert_eq!(common(&set(one), &set(other)), set(one & other));
                assert_eq!(less(&set(one), &set(other)), set(one & !other));
            }
            assert_eq!(above(&set(one), 5), set(one & !0b11111));
            assert!((0..16).all(|block| holds(&set(one), block) == (one & 1 << block != 0)));
        }
    }

    #[test]
    fn the_highest_block_there_is() {
        let all: Ranges = vec![0..=u64::MAX];
        assert_eq!(less(&all, &[5..=u64::MAX]), [0..=4]);
        assert_eq!(merge(vec![0..=u64::MAX, 3..=7]), all);
        assert_eq!(above(&all, u64::MAX), [u64::MAX..=u64::MAX]);
    }
}
