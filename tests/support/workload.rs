//! Clients that write to nodes all the time, whatever happens to these.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::http::Api;
use super::ledger::{Ledger, Outcome};
use super::wait::{SOON, until};

const OWN_KEYS: usize = 40;
const SETS: usize = 4;
const CONTENDED_KEYS: usize = 3;

/// Pause after a write that was not acknowledged.
const PAUSE: Duration = Duration::from_millis(20);

/// Running clients.
#[derive(Debug)]
pub struct Workload {
    pub ledger: Arc<Ledger>,
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
}

impl Workload {
    /// The sets must stand everywhere before the clients start: who was shown nothing gets no context token.
    pub fn prepare(api: Api, prefix: &str) {
        (0..SETS).for_each(|set| drop(api.put(&format!("{prefix}/set/{set}"), "")));
    }

    /// Starts so many clients for each of the nodes, on keys below `prefix`.
    pub fn start(apis: &[Api], clients_each: usize, prefix: &str) -> Self {
        let (ledger, stop) = (Arc::new(Ledger::default()), Arc::new(AtomicBool::new(false)));
        let clients = (0..apis.len() * clients_each).map(|number| {
            let client = Client {
                api: apis[number % apis.len()],
                prefix: prefix.to_owned(),
                name: format!("c{number}"),
                ledger: Arc::clone(&ledger),
            };
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || client.write_until(&stop))
        });
        let clients = clients.collect();
        Self { ledger, stop, clients }
    }

    /// Waits until each of these nodes has acknowledged so many writes more.
    #[track_caller]
    pub fn wait_more(&self, apis: &[Api], more: usize) {
        let before: Vec<usize> = apis.iter().map(|api| self.ledger.acknowledged_by(*api)).collect();
        until(format!("{more} writes more on each node"), SOON, || {
            let enough = |(api, before): (&Api, &usize)| self.ledger.acknowledged_by(*api) >= before + more;
            if apis.iter().zip(&before).all(enough) { Ok(()) } else { Err(self.ledger.summary()) }
        });
    }

    /// Stops the clients, and gives back what they were told.
    pub fn finish(self) -> Arc<Ledger> {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.into_iter().for_each(|client| client.join().unwrap());
        self.ledger
    }
}

struct Client {
    api: Api,
    prefix: String,
    name: String,
    ledger: Arc<Ledger>,
}

impl Client {
    fn write_until(&self, stop: &AtomicBool) {
        for number in 0.. {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let outcome = match number % 4 {
                0 => self.add(number),
                1 => self.write_contended(number),
                _ => self.write_own(number),
            };
            if outcome != Outcome::Acknowledged {
                std::thread::sleep(PAUSE);
            }
        }
    }

    /// A key that no other client writes: overwritten, and deleted now and then.
    fn write_own(&self, number: usize) -> Outcome {
        let key = format!("{}/own/{}/{}", self.prefix, self.name, number % OWN_KEYS);
        let state = (!number.is_multiple_of(7)).then(|| format!("{}-{number}", self.name));
        let answered = match &state {
            Some(value) => self.api.try_put(&key, value.clone()),
            None => self.api.try_delete(&key),
        };
        let outcome = Outcome::of(&answered);
        self.ledger.wrote_own(self.api, &key, state, outcome);
        if outcome == Outcome::Acknowledged
            && number.is_multiple_of(3)
            && let Ok(shown) = self.api.try_siblings(&key)
        {
            self.ledger.read_own(self.api, &key, &shown.values);
        }
        outcome
    }

    /// Reads every sibling, and replaces exactly these by all their items and one more.
    fn add(&self, number: usize) -> Outcome {
        let key = format!("{}/set/{}", self.prefix, number / 4 % SETS);
        let Ok(shown) = self.api.try_siblings(&key) else { return Outcome::Refused };
        let Some(context) = shown.context else { return Outcome::Refused };
        let item = format!("{}-{number}", self.name);
        let mut items: Vec<&str> = shown.values.iter().flat_map(|value| value.lines()).collect();
        items.push(&item);
        items.sort_unstable();
        items.dedup();
        let value = items.join("\n");
        let headers = [("mangrove-context", context.as_str())];
        let answered = self.api.send(reqwest::Method::PUT, &format!("/v1/kv/{key}"), &headers, value);
        let outcome = Outcome::of(&answered);
        self.ledger.added(self.api, &key, item, outcome);
        outcome
    }

    /// A key that all clients overwrite without a token.
    fn write_contended(&self, number: usize) -> Outcome {
        let key = format!("{}/contended/{}", self.prefix, number / 4 % CONTENDED_KEYS);
        let (value, began) = (format!("{}-{number}", self.name), Instant::now());
        let outcome = Outcome::of(&self.api.try_put(&key, value.clone()));
        self.ledger.wrote_contended(self.api, &key, value, began, outcome);
        outcome
    }
}
