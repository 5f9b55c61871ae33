//! The example of the crate used as a library, run as its first lines state, on a sale that a real node recorded.

use std::path::Path;
use std::process::Command;

/// What the example prints; cargo builds it together with the tests.
fn decode_receipt(files: &[&str]) -> String {
    let tests = std::env::current_exe().unwrap();
    let program = tests
        .parent()
        .unwrap()
        .with_file_name("examples")
        .join("decode_receipt");
    assert!(
        program.exists(),
        "cargo build -p decoders --examples makes {}",
        program.display()
    );
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let files = files.iter().map(|file| examples.join(file));
    let ran = Command::new(program).arg("eip155:31337").args(files).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap()
}

const EXPECTED: &str = "\
transfer of 7 erc1155 0x5fc8d32690cc91d4c39d9d3abcbd16989f875707 8
  from 0x9ef6c02fb2ecc446146e05f1ff687a788a8bf76d to 0x08a2de6f3528319123b25935c92888b16db8913e
sale of 7 0x5fc8d32690cc91d4c39d9d3abcbd16989f875707 8 on seaport
  seller 0x9ef6c02fb2ecc446146e05f1ff687a788a8bf76d buyer 0x08a2de6f3528319123b25935c92888b16db8913e
  price 2393059090909090910 of currency 0x0000000000000000000000000000000000000000
  royalty fee 59826477272727273 to 0x70997970c51812dc3a010c7d01b50e0d17dc79c8
";

#[test]
fn the_example_decodes_a_receipt() {
    assert_eq!(decode_receipt(&["sale.receipt.json"]), EXPECTED);
    // The buyer called the market, so the transaction adds nothing here.
    assert_eq!(
        decode_receipt(&["sale.receipt.json", "sale.transaction.json"]),
        EXPECTED
    );
}
