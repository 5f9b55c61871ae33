//! Tests on real blocks, which are no part of the repository.
//!
//! The variable `FIXTURES` names a folder with `blocks/*.json.gz` (header and receipts as JSON-RPC serves them) and
//! `expected_transfers.csv` (every ERC-721 and ERC-1155 transfer in them, counted by another program); `../spec/` beside it has the
//! worked examples and the table of topics. Without it [`on_real_blocks!`](crate::on_real_blocks) makes ignored tests, which every
//! runner reports as skipped. Under `CI` they run and fail then; a machine that cannot have the blocks declares it with `FIXTURES=none`.

use std::path::PathBuf;

/// The folder `FIXTURES` names.
///
/// # Panics
/// When the variable is not set.
#[must_use]
pub fn folder() -> PathBuf {
    let folder = std::env::var_os("FIXTURES").filter(|folder| !folder.is_empty());
    folder
        .expect("FIXTURES names no folder of real blocks; a machine under CI that cannot have them sets FIXTURES=none")
        .into()
}

/// Makes a test of each named function, which takes the folder of real blocks as a `&Path`.
///
/// ```ignore
/// testkit::on_real_blocks!(
///     fn every_transfer_is_found,
///     async fn every_block_is_proven,
/// );
/// ```
#[macro_export]
macro_rules! on_real_blocks {
    ($($test:tt)*) => {
        mod with_real_blocks {
            $crate::each_on_real_blocks!($($test)*);
        }
    };
}

/// One rule per way to write a test of [`on_real_blocks!`].
#[doc(hidden)]
#[macro_export]
macro_rules! each_on_real_blocks {
    () => {};
    (fn $name:ident, $($rest:tt)*) => {
        $crate::skipped_without_real_blocks! {
            #[test]
            fn $name() {
                super::$name(&$crate::real_blocks::folder());
            }
        }
        $crate::each_on_real_blocks!($($rest)*);
    };
    (async fn $name:ident, $($rest:tt)*) => {
        $crate::skipped_without_real_blocks! {
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                Box::pin(super::$name(&$crate::real_blocks::folder())).await;
            }
        }
        $crate::each_on_real_blocks!($($rest)*);
    };
}

/// The test as it is: the blocks are there, or must be.
#[cfg(real_blocks)]
#[doc(hidden)]
#[macro_export]
macro_rules! skipped_without_real_blocks {
    ($test:item) => {
        $test
    };
}

/// The test, ignored.
#[cfg(not(real_blocks))]
#[doc(hidden)]
#[macro_export]
macro_rules! skipped_without_real_blocks {
    ($test:item) => {
        #[ignore = "FIXTURES is not set"]
        $test
    };
}
