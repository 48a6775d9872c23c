//! The program as a process: started, signalled, run to its end.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The program, without any setting that this process happens to have in its environment.
pub fn mangrove() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mangrove"));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("MANGROVE_") || text == "RUST_LOG" {
            command.env_remove(&name);
        }
    }
    command.env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

/// What a process that ended left behind.
#[derive(Debug)]
pub struct Ran {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Ran {
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Fails the test unless the process ended with this exit code.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code(), Some(code), "stdout: {}\nstderr: {}", self.text(), self.stderr);
        self
    }
}

/// A process that does not outlive its test.
#[derive(Debug)]
pub struct Killed(pub Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a command to its end. One that is still running after `within` is killed and fails the test.
#[track_caller]
pub fn run(command: &mut Command, within: Duration) -> Ran {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let stdout = read_all(child.stdout.take().unwrap());
    let stderr = read_all(child.stderr.take().unwrap());
    let status = wait(&mut child, within);
    if status.is_none() {
        let _ = child.kill();
        let _ = child.wait();
    }
    let (stdout, stderr) = (stdout.join().unwrap(), stderr.join().unwrap());
    let stderr = String::from_utf8_lossy(&stderr).into_owned();
    let Some(status) = status else {
        let said = String::from_utf8_lossy(&stdout).into_owned();
        panic!("{command:?} still runs after {within:?}\nstdout: {said}\nstderr: {stderr}");
    };
    Ran { status, stdout, stderr }
}

/// Waits for the end of a process; `None` when it still runs after `within`.
pub fn wait(child: &mut Child, within: Duration) -> Option<ExitStatus> {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        if began.elapsed() >= within {
            return None;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn read_all(mut from: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        bytes
    })
}

/// Sends a signal such as `TERM`, `STOP` or `CONT`; gives back whether there was such a process.
pub fn signal(pid: u32, name: &str) -> bool {
    // The shell's own kill: there need be no program of that name.
    let sent = Command::new("sh").arg("-c").arg(format!("kill -{name} {pid}")).stderr(Stdio::null()).status();
    sent.unwrap().success()
}

/// Whether there is a process of this id that has not ended.
pub fn is_running(pid: u32) -> bool {
    if !signal(pid, "0") {
        return false;
    }
    // One that ended and that nobody has waited for yet still answers to signals.
    let state = Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output();
    match state {
        Ok(state) if state.status.success() => {
            !String::from_utf8_lossy(&state.stdout).trim().starts_with('Z')
        }
        _ => true,
    }
}
