//! What the program prints of arguments and files it cannot use.

#![cfg(test)]

use std::process::{Command, Output};

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_testchain"))
        .args(arguments)
        .env("RUST_BACKTRACE", "1")
        .output()
        .unwrap()
}

#[test]
fn what_is_no_probability_is_refused_before_anything_is_served() {
    for option in [
        "--error-rate",
        "--missing-logs",
        "--null-blocks",
        "--lie-rate",
        "--socket-drop-rate",
    ] {
        for rate in ["5", "1.01", "-0.5", "-1", "NaN", "inf", "often", ""] {
            let output = run(&["simulate", "--blocks", "1", "--listen", "127.0.0.1:0", option, rate]);
            let text = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{option} {rate}: {text}");
            assert!(text.contains("number from 0 to 1") && text.contains(option), "{text}");
        }
    }
}

#[test]
fn an_error_is_one_line_and_no_backtrace() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (arguments, part) in [
        (
            &["simulate", "--blocks", "1", "--listen", &address][..],
            address.as_str(),
        ),
        (&["serve", "no/such/file"], "no/such/file"),
        (&["inspect", "no/such/file"], "no/such/file"),
        (
            &[
                "record",
                "--rpc",
                "http://127.0.0.1:1",
                "--from",
                "0",
                "--out",
                "no/such/file",
            ],
            "endpoint",
        ),
    ] {
        let output = run(arguments);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.starts_with("error: ") && text.contains(part), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}
