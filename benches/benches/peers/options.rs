//! What is to be run.

/// What `--help` prints.
pub const HELP: &str = "The same reconciliation, by Mangrove and by others.

  cargo bench -p mangrove-benches --bench peers -- [OPTIONS]

  --keys N          keys in common                       [1000000]
  --differ A,B,...  keys that differ, several runs       [0,1,100,1000,10000,100000]
  --only TEXT       methods whose name contains this; TEXT or peers/TEXT alone says the same
  --no-upkeep       leave out what a write and a key cost
  --json            one object a row instead of a table

  PEERS_KEYS, PEERS_DIFFER and PEERS_ONLY in the environment say the same. A quick look:
  PEERS_KEYS=50000 PEERS_DIFFER=0,1,1000 cargo bench -p mangrove-benches --bench peers";

/// What differs where nobody says how much.
const DIFFER: [usize; 6] = [0, 1, 100, 1_000, 10_000, 100_000];
/// The number of keys nobody means.
const KEYS_MAX: usize = 20_000_000;

/// What is to be run.
pub struct Options {
    /// Keys that both sides have in common before they differ.
    pub keys: usize,
    /// How many differ, one run each.
    pub differ: Vec<usize>,
    /// Only methods whose name contains this.
    pub only: Option<String>,
    /// Whether the cost of a write and the memory of a key are taken.
    pub upkeep: bool,
    /// JSON instead of a table.
    pub json: bool,
    /// Of this process nothing else is wanted than the memory of one method.
    pub memory_of: Option<String>,
}

impl Options {
    /// From the arguments, over the environment, over the defaults; none when help was asked for.
    pub fn read() -> Result<Option<Options>, String> {
        let mut options = Options {
            keys: 1_000_000,
            differ: Vec::new(),
            only: std::env::var("PEERS_ONLY").ok(),
            upkeep: true,
            json: false,
            memory_of: None,
        };
        if let Ok(keys) = std::env::var("PEERS_KEYS") {
            options.keys = number("PEERS_KEYS", &keys)?;
        }
        if let Ok(differ) = std::env::var("PEERS_DIFFER") {
            options.differ = numbers("PEERS_DIFFER", &differ)?;
        }
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value =
                || arguments.next().ok_or_else(|| format!("{argument} needs a value; see --help"));
            match argument.as_str() {
                // What cargo itself adds.
                "--bench" => {}
                "--keys" => options.keys = number("--keys", &value()?)?,
                "--differ" => options.differ = numbers("--differ", &value()?)?,
                "--only" => options.only = Some(value()?),
                "--memory-of" => options.memory_of = Some(value()?),
                "--no-upkeep" => options.upkeep = false,
                "--json" => options.json = true,
                "--help" | "-h" => return Ok(None),
                // A name to choose by, as criterion takes it.
                name if !name.starts_with('-') => {
                    options.only = Some(name.strip_prefix("peers/").unwrap_or(name).to_owned());
                }
                other => return Err(format!("there is no {other}; see --help")),
            }
        }
        options.check().map(Some)
    }

    fn check(mut self) -> Result<Options, String> {
        if !(1..=KEYS_MAX).contains(&self.keys) {
            return Err(format!("--keys takes 1 to {KEYS_MAX}, not {}", self.keys));
        }
        if self.differ.is_empty() {
            self.differ.extend(DIFFER.iter().filter(|differing| **differing <= self.keys));
        }
        match self.differ.iter().max() {
            None => Err("--differ names no number".into()),
            Some(most) if *most > self.keys => {
                Err(format!("{most} keys cannot differ where there are {}", self.keys))
            }
            Some(_) => Ok(self),
        }
    }

    /// Whether a method of this name is to be run.
    pub fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|part| name.to_lowercase().contains(&part.to_lowercase()))
    }
}

fn number(from: &str, text: &str) -> Result<usize, String> {
    text.trim().replace('_', "").parse().map_err(|_| format!("{from} takes a number, not \"{text}\""))
}

fn numbers(from: &str, text: &str) -> Result<Vec<usize>, String> {
    text.split(',').map(|part| number(from, part)).collect()
}
