//! `config.toml`: complete, parsed, strict; the environment above it; secrets unseen.

use std::collections::BTreeSet;
use std::path::Path;

use indexer::config::{Config, DatabaseUrl, EndpointUrl, EndpointUrlError, HeaderHash, LogFormat, Scope};
use indexer::error::Exit;

fn committed() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../config.toml")).unwrap()
}

/// The committed file with its optional keys switched on.
fn committed_whole() -> String {
    let on = |line: &str| {
        line.strip_prefix('#')
            .filter(|key| key.starts_with(|c: char| c.is_ascii_lowercase()))
            .unwrap_or(line)
            .to_owned()
    };
    committed().lines().map(on).collect::<Vec<_>>().join("\n")
}

fn nothing(_: &str) -> Option<String> {
    None
}

#[test]
fn the_committed_file_parses_and_stands_at_the_defaults() {
    let config = Config::parse(&committed(), "config.toml").unwrap();
    let mut expected = Config::default();
    assert_eq!(config.chains.len(), 1);
    expected.chains = config.chains.clone();
    assert_eq!(config, expected, "the values in config.toml are the defaults");
}

#[test]
fn the_committed_file_names_every_key() {
    let config = Config::parse(&committed_whole(), "config.toml").unwrap();
    let chain = &config.chains[0];
    assert!(chain.finality_depth.is_some() && chain.gas_policy.is_some() && chain.explorer_url.is_some());
    assert!(chain.integrity_head.is_some() && chain.integrity_backfill.is_some());
    assert!(chain.endpoints[0].rate_limit.is_some() && chain.contracts[0].abi.is_some());
    // With every option on, writing the configuration names every key there is.
    let written: toml::Table = toml::from_str(&toml::to_string(&config).unwrap()).unwrap();
    let named: toml::Table = toml::from_str(&committed_whole()).unwrap();
    assert_eq!(
        keys(&toml::Value::Table(named), ""),
        keys(&toml::Value::Table(written), "")
    );
}

fn keys(value: &toml::Value, path: &str) -> BTreeSet<String> {
    match value {
        toml::Value::Table(table) => table
            .iter()
            .flat_map(|(key, value)| {
                let path = format!("{path}.{key}");
                let mut inner = keys(value, &path);
                inner.insert(path);
                inner
            })
            .collect(),
        toml::Value::Array(values) => values.iter().flat_map(|value| keys(value, path)).collect(),
        _ => BTreeSet::new(),
    }
}

/// Text of a configuration, and what the one line about its fault has.
type Case<'a> = (&'a str, &'a [&'a str]);

#[test]
fn what_is_wrong_is_told_with_file_line_key_and_what_is_allowed() {
    assert_published(&[
        (
            "[database]\nuri = 1",
            &["c.toml:2:", "unknown field `uri`", "expected one of `url`, `data_dir`"],
        ),
        ("[databse]", &["c.toml:1:", "unknown field `databse`", "`database`"]),
        (
            "[database]\nmax_connections = 0",
            &[
                "c.toml:2: database.max_connections:",
                "0 is out of range, allowed are 1 to 100",
            ],
        ),
        (
            "[database]\nmax_connections = \"x\"",
            &[
                "c.toml:2: database.max_connections:",
                "write a whole number from 1 to 100",
            ],
        ),
        (
            "[database]\nurl = \"mysql://u:s3cr3t@h/d\"",
            &["database.url:", "\"mysql://h/d\"", "postgres://…", "embedded"],
        ),
        ("[archive]\nurl = \"http://h\"", &["archive.url:", "mongodb://…"]),
        ("[broker]\nurl = \"http://h\"", &["broker.url:", "amqp://…"]),
        (
            "[api]\nlisten = \"localhost\"",
            &["c.toml:2: api.listen:", "127.0.0.1:8080"],
        ),
        (
            "[log]\nformat = \"xml\"",
            &["log.format:", "unknown variant `xml`, expected `human` or `json`"],
        ),
        ("[log]\nlevel = \"a=b=c\"", &["log.level:", "no log filter"]),
        ("[pipeline]\nbackfill_workers = 65", &["allowed are 1 to 64"]),
        ("x = ", &["c.toml:1:"]),
        (
            "[database]\nurl = \"postgres://u:s3cr3t@h:99999/d\"",
            &["c.toml:2:", "postgres://…", "1 to 65535"],
        ),
        (
            "[archive]\nurl = \"mongodb://u:s3cr3t@a:1,b:0/d\"",
            &["c.toml:2:", "1 to 65535"],
        ),
        (
            "[broker]\nurl = \"amqp://u:s3cr3t@[::1]:x/%2f\"",
            &["c.toml:2:", "1 to 65535"],
        ),
        ("[api]\nlisten = \"8080\"", &["c.toml:2:", "127.0.0.1:8080"]),
        ("[api]\nlisten = 8080", &["c.toml:2:", "127.0.0.1:8080"]),
    ]);
}

#[test]
fn what_is_wrong_with_a_chain_is_told_the_same_way() {
    let chain = "[[chains]]\ncaip2 = \"eip155:1\"\nname = \"E\"\nnative_symbol = \"E\"\n";
    let endpoint = "[[chains.endpoints]]\nurl = \"http://h\"\n";
    let currency = format!(
        "[[chains.currencies]]\nsymbol = \"X\"\naddress = \"0x{}\"\ndecimals = 1\n",
        "ab".repeat(20)
    );
    assert_published(&[
        (
            "[pipeline]\nintegrity_head = \"full\"",
            &["pipeline.integrity_head:", "`chained`, `bloom`, `receipts`"],
        ),
        (
            "[[chains]]\nname = \"E\"\nnative_symbol = \"E\"",
            &["c.toml:1:", "missing field `caip2`"],
        ),
        (
            "[[chains]]\ncaip2 = \"1\"\nname = \"E\"\nnative_symbol = \"E\"",
            &["c.toml:2:", "eip155:1"],
        ),
        (&format!("{chain}{chain}"), &["c.toml:6:", "eip155:1 is written twice"]),
        (&format!("{chain}{endpoint}{endpoint}"), &["c.toml:8:", "written twice"]),
        (
            &format!("{chain}[[chains.endpoints]]\nurl = \"ftp://h/key\""),
            &["c.toml:6:", "\"ftp://h/…\"", "wss://…"],
        ),
        (
            &format!("{chain}[[chains.endpoints]]\nurl = \"http://h/${{KEY\""),
            &["c.toml:6:", "variable name"],
        ),
        (
            &format!("{chain}{endpoint}rate_limit = 0"),
            &["c.toml:7:", "allowed are 1 to 1000000"],
        ),
        (
            &format!("{chain}[[chains.contracts]]\nname = \"\""),
            &["1 to 128 printable characters"],
        ),
        (
            &format!("{chain}{endpoint}auth_type = \"basic\""),
            &["c.toml:6:", "basic", "no user", "user:password@host"],
        ),
        (
            &format!("{chain}[[chains.endpoints]]\nurl = \"https://h/\"\nauth_type = \"url\""),
            &["c.toml:6:", "neither path nor query"],
        ),
        (
            &format!("{chain}{currency}{currency}"),
            &["c.toml:11:", "chains.currencies", "written twice"],
        ),
        (
            &format!("{chain}start_block = -1"),
            &["c.toml:5:", "-1", "allowed are 0 to"],
        ),
        (
            &format!("{chain}finality_depth = \"x\""),
            &["c.toml:5:", "whole number"],
        ),
        (
            &format!("{chain}explorer_url = \"h\""),
            &["c.toml:5:", "https://etherscan.io"],
        ),
        (
            &format!("{chain}[[chains.contracts]]\nname = \"c\"\naddress = \"0x123\""),
            &["c.toml:7:", "0x and 40 hexadecimal digits"],
        ),
        (&format!("{chain}scope = \"some\""), &["expected `all` or `contracts`"]),
    ]);
}

fn assert_published(cases: &[Case<'_>]) {
    for (text, parts) in cases {
        let failure = Config::parse(text, "c.toml").unwrap_err();
        assert_eq!(failure.exit, Exit::Config, "{text}");
        assert!(!failure.message.contains('\n'), "{}", failure.message);
        assert!(!failure.message.contains("s3cr3t"), "{}", failure.message);
        for part in *parts {
            assert!(
                failure.message.contains(part),
                "{text}\ngave {}\nwithout {part}",
                failure.message
            );
        }
    }
}

/// Every malformed service URL there is an example of, by the key and the variable that may hold it.
const MALFORMED: [(&str, &str, &[&str]); 3] = [
    (
        "database.url",
        "DATABASE_URL",
        &[
            "postgres://u:s3cr3t@h h/d",
            "postgres://u:s3cr3t@h/d b",
            "postgres://u:s3cr3t@h/d\tb",
            "postgres://u:s3cr3t@h:0/d",
            "postgres://u:s3cr3t%ff@h/d",
            "postgres://u:s3cr3t@h/d?sslmode=maybe",
            "postgres://u:s3cr3t@h/d?port=many",
            "postgres://u:s3cr3t@[::1/d",
            "postgres:/u:s3cr3t@h/d",
            "u:s3cr3t@h",
        ],
    ),
    (
        "archive.url",
        "MONGODB_URL",
        &[
            "mongodb://u:s3cr3t@",
            "mongodb://u:s3cr3t@/",
            "mongodb://u:s3cr3t%zz@h",
            "mongodb://u:s3cr3t@h,,i",
            "mongodb://u:s3cr3t@h h",
            "mongodb://u:s3cr3t@h/?tls=maybe",
            "mongodb://u:s3cr3t@h/?w=-1",
            "mongodb+srv://u:s3cr3t@a.b.c:27017",
        ],
    ),
    (
        "broker.url",
        "AMQP_URL",
        &[
            "amqp://u:s3cr3t@h h/%2f",
            "amqp://u:s3cr3t%ff@h/%2f",
            "amqp://u:s3cr3t@h/%2f?heartbeat=often",
            "amqp://u:s3cr3t@h:70000/%2f",
            "amqp://u:s3cr3t@[::1/%2f",
            "amqp:u:s3cr3t@h",
        ],
    ),
];

#[test]
fn a_url_its_client_cannot_read_is_a_bad_configuration_that_names_the_key() {
    for (key, variable, urls) in MALFORMED {
        for url in urls {
            let (table, name) = key.split_once('.').unwrap();
            let text = format!("[{table}]\n{name} = {url:?}");
            let failure = Config::parse(&text, "c.toml").expect_err(url);
            assert!(
                failure.message.starts_with(&format!("c.toml:2: {key}: ")),
                "{url}: {}",
                failure.message
            );
            let named = |asked: &str| (asked == variable).then(|| (*url).to_owned());
            let from_environment = Config::default().override_from(&named).expect_err(url);
            assert!(
                from_environment
                    .message
                    .starts_with(&format!("environment variable {variable}: ")),
                "{url}: {}",
                from_environment.message
            );
            for failure in [failure, from_environment] {
                assert_eq!(failure.exit, Exit::Config, "{url}");
                assert!(!failure.message.contains("s3cr3t"), "{}", failure.message);
                assert!(
                    ["://", "write"].iter().any(|advice| failure.message.contains(advice)),
                    "{}",
                    failure.message
                );
            }
        }
    }
}

#[test]
fn urls_that_work_are_taken() {
    for (variable, urls) in [
        (
            "DATABASE_URL",
            &[
                "postgres://h",
                "postgresql://u:p%40w@h:5432/d?sslmode=require&application_name=x",
                "postgres://u@localhost/d?host=/var/run/postgresql",
                "postgres://u@[::1]:5432/d",
                "postgres://u:p@h/d\n",
                "embedded\n",
            ][..],
        ),
        (
            "MONGODB_URL",
            &[
                "mongodb://h",
                "mongodb://u:p%40w@a:1,b:2/auth?replicaSet=rs0&w=majority",
                "mongodb+srv://u:p@a.b.c/?tls=true",
                "mongodb://[::1]:27017/",
            ],
        ),
        (
            "AMQP_URL",
            &["amqp://h", "amqps://u:p%40w@h:5671/v?heartbeat=5", "amqp://h/%2f"],
        ),
    ] {
        for url in urls {
            let named = |asked: &str| (asked == variable).then(|| (*url).to_owned());
            Config::default().override_from(&named).expect(url);
        }
    }
}

#[test]
fn an_endpoint_url_that_readers_would_mend_each_in_its_own_way_is_refused() {
    for (wrong, part) in [
        ("http://h/a b", "%20"),
        ("http://h h/", "%20"),
        ("http://h/a\tb", "%20"),
        ("http://h/a\nb", "%20"),
        ("http:\\\\h\\a", "%5C"),
        ("http://h\\@evil/", "%5C"),
        ("http:///h", "no host"),
        ("http:h", "http://…"),
        ("http://h:0/", "1 to 65535"),
        ("http://h:99999/", "1 to 65535"),
        ("http://user:S3CRET@/", "http://…"),
    ] {
        let error = EndpointUrl::parse(wrong).expect_err(wrong).to_string();
        assert!(error.contains(part) && !error.contains("S3CRET"), "{wrong}: {error}");
    }
    // What an earlier release put into the registry is read on.
    assert!(EndpointUrl::kept("http://h/a b").is_ok() && EndpointUrl::kept("ftp://h").is_err());
}

#[test]
fn the_environment_stands_above_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    std::fs::write(
        &path,
        "[database]\nurl = \"postgres://file/d\"\n[broker]\nurl = \"amqp://file\"",
    )
    .unwrap();
    let environment = |name: &str| {
        let value = match name {
            "DATABASE_URL" => "postgres://u:s3cr3t@env:5433/d?sslmode=disable",
            "MONGODB_URL" => "mongodb://u:s3cr3t@env:27017/?replicaSet=rs0",
            "AMQP_URL" => "amqp://u:s3cr3t@env:5672/%2f",
            _ => return None,
        };
        Some(value.to_owned())
    };
    let config = Config::load(&path, &environment).unwrap();
    assert_eq!(config.database.url.to_string(), "postgres://env:5433/d");
    assert_eq!(config.archive.url.as_ref().unwrap().to_string(), "mongodb://env:27017/");
    assert_eq!(config.broker.url.as_ref().unwrap().to_string(), "amqp://env:5672/%2f");
    assert!(config.broker.url.as_ref().unwrap().expose().contains("u:s3cr3t@"));
    assert!(
        !format!("{config:?}").contains("s3cr3t") && !toml::to_string(&config).unwrap().contains("s3cr3t"),
        "secrets stay unseen"
    );

    let file = Config::load(&path, &nothing).unwrap();
    assert_eq!(file.database.url.to_string(), "postgres://file/d");
    let empty = Config::load(&path, &|_| Some(String::new())).unwrap();
    assert_eq!(empty, file, "an empty variable is no variable");

    for name in ["DATABASE_URL", "MONGODB_URL", "AMQP_URL"] {
        let wrong = |asked: &str| (asked == name).then(|| "http://u:s3cr3t@h".to_owned());
        let failure = Config::load(&path, &wrong).unwrap_err();
        assert!(
            failure.message.starts_with(&format!("environment variable {name}: ")),
            "{}",
            failure.message
        );
        assert!(!failure.message.contains("s3cr3t"));
        assert_eq!(failure.exit, Exit::Config);
    }
}

#[test]
fn relative_paths_start_from_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    std::fs::write(&path, "").unwrap();
    let config = Config::load(&path, &nothing).unwrap();
    assert_eq!(
        config.resolve(&config.database.data_dir),
        folder.path().join("data/postgres")
    );
    assert_eq!(config.resolve(Path::new("/abs")), Path::new("/abs"));
    let failure = Config::load(&folder.path().join("none.toml"), &nothing).unwrap_err();
    assert!(
        failure.message.contains("none.toml") && failure.message.contains("--config FILE"),
        "{}",
        failure.message
    );
}

#[test]
fn a_variable_stays_in_the_part_of_the_url_it_stands_in() {
    let expanded = |template: &str, value: &str| {
        let url = EndpointUrl::parse(template).unwrap();
        url.expand(&|_| Some(value.to_owned()))
    };
    for value in [
        "p@s:s/w#rd%",
        "1234/topsecret",
        "a?b=c&d",
        "back\\slash",
        "sp ace",
        "ü",
        "%2e%2e",
    ] {
        for template in [
            "http://user:${V}@h.example/",
            "http://${V}:s3cr3t@h.example/",
            "http://localhost:${V}@h.example:8545/",
            "https://h.example/v2/${V}",
            "https://h.example/v2/${V}/rest",
            "https://h.example/?key=${V}&x=1",
            "https://h.example/#${V}",
        ] {
            let url = expanded(template, value).unwrap();
            assert_eq!(url.host_str(), Some("h.example"), "{template} {value}");
            let decoded = |text: &str| {
                percent_encoding::percent_decode_str(text)
                    .decode_utf8_lossy()
                    .into_owned()
            };
            let parts = [
                decoded(url.username()),
                url.password().map(decoded).unwrap_or_default(),
                decoded(url.path()),
                url.query_pairs()
                    .next()
                    .map(|(_, value)| value.into_owned())
                    .unwrap_or_default(),
                url.fragment().map(decoded).unwrap_or_default(),
            ];
            assert!(
                parts.iter().any(|part| part.contains(value)),
                "{template} {value}: {url}"
            );
        }
        let template = "https://${V}.example:8545/";
        let refused = expanded(template, value);
        let fits_a_host = value.chars().all(char::is_alphanumeric);
        assert_eq!(refused.is_ok(), fits_a_host, "{value}");
    }
    assert_eq!(expanded("http://127.0.0.1:${V}/", "8545").unwrap().port(), Some(8545));
    assert_eq!(
        expanded("https://h/${V}", "v3/key").unwrap().as_str(),
        "https://h/v3/key"
    );

    for (template, value) in [
        ("https://${V}/", "evil.example/x"),
        ("https://${V}/", "user@evil.example"),
        ("https://h/${V}", "line\n"),
        ("https://h/${V}", ""),
    ] {
        let error = expanded(template, value).unwrap_err().to_string();
        assert!(error.contains("environment variable V"), "{error}");
        assert!(value.is_empty() || !error.contains(value), "{error}");
    }
    for template in ["${V}://h/", "${V}"] {
        assert!(EndpointUrl::parse(template).is_err(), "{template}");
    }
}

#[test]
fn endpoint_urls_take_their_secrets_from_the_environment_and_show_none() {
    let url = EndpointUrl::parse("https://h.example/v3/${NODE_KEY}?x=${X}").unwrap();
    assert_eq!(
        (url.to_string().as_str(), format!("{url:?}").as_str()),
        ("https://h.example/…", "https://h.example/…")
    );
    let environment = |name: &str| Some(name.to_lowercase());
    assert_eq!(
        url.expand(&environment).unwrap().as_str(),
        "https://h.example/v3/node_key?x=x"
    );
    let unset = url.expand(&nothing).unwrap_err();
    assert!(matches!(&unset, EndpointUrlError::Unset { variable, .. } if variable == "NODE_KEY"));
    for (text, shown) in [
        ("http://127.0.0.1:8545", "http://127.0.0.1:8545"),
        ("http://h:1/", "http://h:1/"),
        ("wss://u:p@ss@h:1/k", "wss://h:1/…"),
        ("wss://u:p@ss/w@h:1/k", "wss://…"),
        ("http://127.0.0.1:9646/@SECRETKEY", "http://…"),
        ("https://user:123/S3CRET@h.example/x", "https://…"),
        ("https://h?apikey=secret", "https://h"),
    ] {
        assert_eq!(
            EndpointUrl::parse(text).map_or_else(|error| error.to_string(), |url| url.to_string()),
            shown
        );
    }
    for wrong in [
        "",
        "h",
        "ftp://h",
        "http://",
        "http://${",
        "http://${}",
        "http://h/${a-b}",
    ] {
        assert!(EndpointUrl::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_chain_needs_only_its_names() {
    let text = "[[chains]]\ncaip2 = \"eip155:10\"\nname = \"Optimism\"\nnative_symbol = \"ETH\"";
    let config = Config::parse(text, "c.toml").unwrap();
    let chain = &config.chains[0];
    assert!(chain.enabled && chain.endpoints.is_empty() && chain.gas_policy.is_none());
    assert_eq!(
        (chain.decimals, chain.scope, chain.header_hash),
        (18, Scope::All, HeaderHash::Auto)
    );
    assert_eq!(
        (config.log.format, config.database.url),
        (LogFormat::Human, DatabaseUrl::Embedded)
    );
}

#[test]
fn no_part_of_a_secret_is_shown_however_its_url_is_written() {
    for (key, schemes) in [
        ("database.url", ["postgres", "postgresql"]),
        ("archive.url", ["mongodb", "mongodb+srv"]),
        ("broker.url", ["amqp", "amqps"]),
    ] {
        let (table, key) = key.split_once('.').unwrap();
        for scheme in schemes {
            for rest in [
                "me:S3C#RET@h",
                "me:S3C?RET@h/d",
                "me:S3C/RET@h/d",
                "me:pre@S3CRET#x@host/d",
                "me:12/S3CRET@host/d",
                "me:S3CRET",
            ] {
                let text = format!("[{table}]\n{key} = \"{scheme}://{rest}\"");
                let failure = Config::parse(&text, "c.toml").unwrap_err();
                assert!(!failure.message.contains("S3C"), "{}", failure.message);
                assert!(!failure.message.contains("RET"), "{}", failure.message);
                assert_eq!(failure.exit, Exit::Config, "{text}");
            }
        }
        let text = format!("[{table}]\n{key} = \"host=h port=1 password=S3CRET user=x\"");
        let failure = Config::parse(&text, "c.toml").unwrap_err();
        assert!(!failure.message.contains("S3CRET"), "{}", failure.message);
    }
}
