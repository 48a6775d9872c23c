//! HTTP on one node beside a plain axum handler that does the same to the same engine, a bare one, and etcd: rates and
//! the servers' CPU, in one run.
//!
//! `cargo bench -p mangrove-benches --bench http [-- OPTIONS]`; `--help` has the options. Each server and the load are
//! processes of their own; rounds are interleaved, and a ratio is one of the same round.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod load;
mod plain;
mod table;
mod target;

use std::process::ExitCode;

use load::Kind;
use table::Table;
use target::Target;

const HELP: &str = "HTTP on one node beside other servers.

  cargo bench -p mangrove-benches --bench http -- [OPTIONS]

  --seconds N      of each measurement              [3]
  --rounds N       of all servers in turn           [5]
  --clients N      connections                      [64]
  --keys N         keys, written beforehand         [20000]
  --value-size N   bytes of a value                 [128]
  --only TEXT      parts whose name contains this: GET, PUT interval, PUT fsync;
                   TEXT or http/TEXT alone says the same
  --json           one object a row instead of a table";

/// What is to be run.
pub struct Options {
    clients: u64,
    keys: u64,
    value_bytes: usize,
    millis: u64,
    rounds: usize,
    only: Option<String>,
    json: bool,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        // The node's own command line, in this process.
        ["serve", ..] => return node::cli::run(),
        ["plain", address, dir] => plain::serve_plain(address.parse().unwrap(), dir.as_ref()),
        ["bare", address, bytes] => plain::serve_bare(address.parse().unwrap(), bytes.parse().unwrap()),
        ["load", load] => {
            let outcome = load::run(serde_json::from_str(load).unwrap());
            println!("{}", serde_json::to_string(&outcome).unwrap());
        }
        ["--help" | "-h"] => println!("{HELP}"),
        _ => match Options::parse(&words) {
            Ok(options) => print!("{}", compare(&options)),
            Err(why) => {
                eprintln!("http: {why}");
                return ExitCode::from(2);
            }
        },
    }
    ExitCode::SUCCESS
}

impl Options {
    fn parse(words: &[&str]) -> Result<Options, String> {
        let mut options = Options {
            clients: 64,
            keys: 20_000,
            value_bytes: 128,
            millis: 3_000,
            rounds: 5,
            only: None,
            json: false,
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value =
                || words.next().copied().ok_or_else(|| format!("{word} needs a value; see --help"));
            let number = |text: &str, least: u64, most: u64| {
                let number = text.parse().ok().filter(|number| (least..=most).contains(number));
                number.ok_or_else(|| format!("{word} takes {least} to {most}, not \"{text}\""))
            };
            match *word {
                "--seconds" => options.millis = number(value()?, 1, 600)? * 1_000,
                "--rounds" => options.rounds = number(value()?, 1, 100)? as usize,
                "--clients" => options.clients = number(value()?, 1, 512)?,
                "--keys" => options.keys = number(value()?, 1, 10_000_000)?,
                "--value-size" => options.value_bytes = number(value()?, 0, 1 << 20)? as usize,
                "--only" => options.only = Some(value()?.to_owned()),
                "--json" => options.json = true,
                // A name to choose by, as criterion takes it.
                name if !name.starts_with('-') => {
                    options.only = Some(name.strip_prefix("http/").unwrap_or(name).to_owned());
                }
                other => return Err(format!("there is no {other}; see --help")),
            }
        }
        Ok(options)
    }

    fn wants(&self, part: &str) -> bool {
        self.only.as_ref().is_none_or(|only| part.to_lowercase().contains(&only.to_lowercase()))
    }
}

fn compare(options: &Options) -> String {
    let home = tempfile::tempdir().unwrap();
    let dir = |name: &str| home.path().join(name);
    let mut table = Table::default();
    let (get, put) = ("GET", "PUT interval");
    if options.wants(get) || options.wants(put) {
        let targets = [
            Target::mangrove("Mangrove", &dir("interval"), "interval"),
            Target::plain(&dir("plain")),
            Target::bare(options.value_bytes),
        ];
        targets.iter().for_each(|target| _ = target.under(Kind::Fill, options));
        for (part, kind) in [(get, Kind::Get), (put, Kind::Put)] {
            if options.wants(part) {
                rounds(
                    &mut table,
                    part,
                    options,
                    &[(&targets[1], kind), (&targets[0], kind), (&targets[2], kind)],
                );
            }
        }
    }
    let part = "PUT fsync";
    if options.wants(part) {
        let mangrove = Target::mangrove("Mangrove", &dir("fsync"), "fsync");
        mangrove.under(Kind::Fill, options);
        match Target::etcd(&dir("etcd")) {
            Some(etcd) => {
                rounds(&mut table, part, options, &[(&etcd, Kind::EtcdPut), (&mangrove, Kind::Put)])
            }
            None => {
                table
                    .notes
                    .push("etcd is not installed: PUT fsync stands alone (Debian: apt install etcd-server)");
                rounds(&mut table, part, options, &[(&mangrove, Kind::Put)]);
            }
        }
    }
    if options.json { table.json() } else { table.text(options) }
}

/// Each target in turn, some rounds. The first is what the others are held against.
fn rounds(table: &mut Table, part: &'static str, options: &Options, targets: &[(&Target, Kind)]) {
    // Everything once, not counted: caches, and sockets.
    for (target, kind) in targets {
        target.under(*kind, &Options { millis: options.millis.min(1_000), only: None, ..*options });
    }
    let mut runs = vec![Vec::new(); targets.len()];
    for round in 0..options.rounds {
        for ((target, kind), runs) in targets.iter().zip(&mut runs) {
            runs.push(target.under(*kind, options));
        }
        eprintln!("{part}: round {} of {} done", round + 1, options.rounds);
    }
    let against = runs[0].clone();
    for ((target, _), runs) in targets.iter().zip(runs) {
        table.add(part, target.name, &runs, &against);
    }
}
