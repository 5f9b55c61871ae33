//! `indexer decode`: a transaction of the recorded market, from an endpoint and from files, and the error when there is none.

use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use testchain::faults::Faults;
use testchain::recording;
use testchain::server::{Server, serve};

use crate::commands::{Place, stated};

/// A listing of Meadow's token 19, filled in WETH with a fee; `recordings/market.sales.json.gz` holds the same.
const SALE: &str = "0x3a959f1e00006e3e8337e53d1dd3267ea01870a8eb95eb6cf6bed7842f4630c1";
const SELLER: &str = "0xdf37f81daad2b0327a0a50003740e1c935c70913";
const BUYER: &str = "0xbcd4042de499d14e55001ccbb24a551f3b954096";
const PRICE: &str = "148743636363636365";

async fn market() -> Server {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../recordings/market.zst");
    let recorded = recording::read_from(std::fs::File::open(path).unwrap()).unwrap();
    let ledger = recorded.into_ledger();
    serve(ledger, Faults::new(0), "127.0.0.1:0".parse().unwrap())
        .await
        .unwrap()
}

async fn ask(server: &Server, method: &str, params: Value) -> Value {
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let client = reqwest::Client::new();
    let request = client
        .post(server.http_url())
        .header("content-type", "application/json")
        .body(call.to_string());
    serde_json::from_str(&request.send().await.unwrap().text().await.unwrap()).unwrap()
}

fn run(place: &Place, arguments: &[&str]) -> String {
    let output = place.indexer(&[&["decode"], arguments].concat()).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {complaint}");
    String::from_utf8(output.stdout).unwrap()
}

fn write(folder: &Path, name: &str, value: &Value) -> String {
    let path = folder.join(name);
    std::fs::write(&path, value.to_string()).unwrap();
    path.display().to_string()
}

fn because<'a>(sale: &'a Value, part: &str) -> &'a str {
    let parts = sale["parts"].as_array().unwrap();
    let found = parts.iter().find(|stated| stated["part"] == part);
    found.unwrap_or_else(|| panic!("no {part} in {sale}"))["because"]
        .as_str()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_is_shown_with_the_reason_of_every_part() {
    let (server, place) = (market().await, Place::with("[nonsense"));
    std::fs::remove_file(place.path().join("config.toml")).unwrap();
    let url = server.http_url();
    let endpoint = ["--tx", SALE, "--chain", "eip155:31337", "--rpc", &url];
    let stated: Value = serde_json::from_str(&run(&place, &[&endpoint[..], &["--json"]].concat())).unwrap();
    let sale = &stated["sales"][0];
    assert_eq!(stated["sales"].as_array().unwrap().len(), 1, "{stated}");
    assert_eq!(sale["seller"], SELLER);
    assert_eq!(sale["buyer"], BUYER);
    assert_eq!(sale["price"], PRICE);
    assert!(because(sale, "buyer").contains("receiver of log"), "{sale}");
    assert!(because(sale, "seller").contains("sender of log"), "{sale}");
    assert!(because(sale, "order_hash").contains("word"), "{sale}");
    assert!(because(sale, "fee").contains("log"), "{sale}");
    assert!(
        because(sale, "marketplace").contains("decoder seaport claims OrderFulfilled"),
        "{sale}"
    );
    for part in sale["parts"].as_array().unwrap() {
        assert_ne!(part["because"], "", "{part}");
    }
    assert!(stated["transaction"]["input"].as_str().unwrap().len() > 10);
    assert_eq!(stated["transfers"].as_array().unwrap().len(), 1, "{stated}");
    let events: Vec<&str> = stated["logs"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|log| log["event"].as_str())
        .collect();
    assert_eq!(
        events.len(),
        stated["logs"].as_array().unwrap().len(),
        "every log has a name: {stated}"
    );

    let text = run(&place, &endpoint);
    for part in [
        SALE,
        SELLER,
        BUYER,
        PRICE,
        "logs\n",
        "transfers\n",
        "sale at log",
        "where it can be seen",
    ] {
        assert!(text.contains(part), "no {part} in {text}");
    }

    out_of_files(&server, &place, &stated).await;
}

/// The same transaction out of files.
async fn out_of_files(server: &Server, place: &Place, stated: &Value) {
    let transaction = ask(server, "eth_getTransactionByHash", json!([SALE])).await["result"].take();
    let answer = ask(server, "eth_getTransactionReceipt", json!([SALE])).await;
    let receipt = answer["result"].clone();
    let both = write(
        place.path(),
        "both.json",
        &json!({"transaction": transaction, "receipt": receipt}),
    );
    let from_file = run(place, &["--receipt", &both, "--chain", "eip155:31337", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&from_file).unwrap(), *stated);

    let number = receipt["blockNumber"].clone();
    let path = write_block(server, place, &number).await;
    let from_block = run(place, &["--receipt", &path, "--tx", SALE, "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&from_block).unwrap(), *stated);

    // A receipt alone still shows the sale, without who signed.
    let alone = write(place.path(), "receipt.json", &answer);
    let bare: Value =
        serde_json::from_str(&run(place, &["--receipt", &alone, "--chain", "eip155:31337", "--json"])).unwrap();
    assert_eq!(bare["transaction"], Value::Null);
    assert_eq!(bare["sales"][0]["price"], PRICE);
}

/// The whole block in a packed file.
async fn write_block(server: &Server, place: &Place, number: &Value) -> String {
    let block = ask(server, "eth_getBlockByNumber", json!([number, true])).await["result"].take();
    let receipts = ask(server, "eth_getBlockReceipts", json!([number])).await["result"].take();
    let whole = json!({"chainId": 31337, "block": block, "receipts": receipts});
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(whole.to_string().as_bytes()).unwrap();
    let path = place.path().join("block.json.gz");
    std::fs::write(&path, packed.finish().unwrap()).unwrap();
    path.display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_decoded_is_refused_in_one_line() {
    let (server, place) = (market().await, Place::with(""));
    let url = server.http_url();
    let number = ask(&server, "eth_getTransactionByHash", json!([SALE])).await["result"]["blockNumber"].take();
    let path = write_block(&server, &place, &number).await;
    let alone = write(
        place.path(),
        "receipt.json",
        &ask(&server, "eth_getTransactionReceipt", json!([SALE])).await,
    );
    let unknown = format!("0x{}", "11".repeat(32));
    let fails = |arguments: &[&str], code: i32, parts: &[&str]| {
        explains(&place, arguments, code, parts);
    };
    fails(
        &["--tx", &unknown, "--chain", "eip155:31337", "--rpc", &url],
        7,
        &[&unknown, "check the hash"],
    );
    fails(
        &["--tx", SALE, "--chain", "eip155:1", "--rpc", &url],
        8,
        &["eip155:1", "eip155:31337"],
    );
    fails(
        &["--tx", SALE, "--chain", "eip155:1"],
        7,
        &["no endpoint of eip155:1", "--rpc"],
    );
    fails(&["--receipt", &path], 2, &["--tx"]);
    fails(&["--receipt", &path, "--tx", &unknown], 2, &["no receipt", &unknown]);
    fails(
        &["--receipt", &path, "--tx", SALE, "--chain", "eip155:1"],
        8,
        &["eip155:31337"],
    );
    fails(&["--receipt", &alone], 2, &["--chain"]);
    fails(&["--receipt", "nowhere.json"], 2, &["nowhere.json", "failed to read"]);
    let other = write(place.path(), "other.json", &json!({"logs": 7}));
    fails(
        &["--receipt", &other, "--chain", "eip155:1"],
        2,
        &["other.json", "not a receipt"],
    );
    std::fs::write(place.path().join("text.json"), "hello").unwrap();
    fails(&["--receipt", "text.json", "--chain", "eip155:1"], 2, &["not JSON"]);
    fails(&[], 2, &["--tx"]);
}

fn explains(place: &Place, arguments: &[&str], code: i32, parts: &[&str]) {
    stated(&mut place.indexer(&[&["decode"], arguments].concat()), code, parts);
}
