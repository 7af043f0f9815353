//! An instance as a process: started, killed, stopped for a while, asked.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::Duration;

use anabranch_host::Host;
use tokio::sync::mpsc;

use crate::application::{ANSWER, INSTANCE};

/// How long an answer may take: far longer than it ever does.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// What says whose a directory is, and who made it: without it, or with another, an instance is refused.
const UNTOUCHED: [&str; 4] = [".lock", "lock", "process-id", "version"];
static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

/// An instance, whether its process runs or not. Killed when dropped.
pub(crate) struct Instance {
    pub(crate) number: usize,
    /// Its state.
    directory: PathBuf,
    log: PathBuf,
    settings: String,
    process: Option<Process>,
}

struct Process {
    child: Child,
    questions: ChildStdin,
    answers: mpsc::UnboundedReceiver<String>,
    is_stopped: bool,
    /// It has been told to end.
    is_closing: bool,
}

impl Instance {
    /// Not started yet. Logs and state are below `directory`.
    pub(crate) fn new(number: usize, directory: &Path, settings: &str) -> Instance {
        let state = directory.join(format!("state-{number}"));
        let settings = format!("client.id=instance-{number}\nstate.dir={}\n{settings}", state.display());
        let log = directory.join(format!("instance-{number}.log"));
        Instance { number, directory: state, log, settings, process: None }
    }

    /// Starts its process, and does not wait for it.
    pub(crate) fn start(&mut self) {
        assert!(self.process.is_none(), "it runs");
        let mut log = OpenOptions::new().create(true).append(true).open(&self.log).unwrap();
        writeln!(log, "--- a new process").unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "an_instance_of_the_application", "--nocapture", "--test-threads=1"])
            .env(INSTANCE, &self.settings)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let (out, questions) = (child.stdout.take().unwrap(), child.stdin.take().unwrap());
        let (sender, answers) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if let Some(answer) = line.strip_prefix(ANSWER) {
                    // An instance that was killed is asked nothing.
                    let _ = sender.send(answer.to_string());
                }
            }
        });
        self.process = Some(Process { child, questions, answers, is_stopped: false, is_closing: false });
    }

    pub(crate) fn is_up(&self) -> bool {
        self.process.is_some()
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.is_stopped)
    }

    /// Ends it as nothing can be caught.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may have ended by itself, which is found out elsewhere.
            let _ = process.child.kill();
            process.child.wait().unwrap();
        }
    }

    /// Lets it stand still.
    pub(crate) fn stop(&mut self) {
        self.signal("-STOP", true);
    }

    /// Lets it go on.
    pub(crate) fn go_on(&mut self) {
        self.signal("-CONT", false);
    }

    fn signal(&mut self, signal: &str, stops: bool) {
        let process = self.process.as_mut().expect("it runs");
        let status = Command::new("kill").args([signal, &process.child.id().to_string()]).status().unwrap();
        assert!(status.success());
        process.is_stopped = stops;
    }

    /// Looks whether its process has ended, as it should have if it was told so; otherwise, how it has.
    pub(crate) fn has_ended(&mut self) -> Option<ExitStatus> {
        let process = self.process.as_mut()?;
        let status = process.child.try_wait().unwrap()?;
        if process.is_closing && status.success() {
            self.process = None;
            return None;
        }
        Some(status)
    }

    /// Tells it something that it gives no answer to.
    pub(crate) fn tell(&mut self, word: &str) {
        let process = self.process.as_mut().expect("it runs");
        // If it has ended, that is found out elsewhere.
        let _ = writeln!(process.questions, "{word}");
    }

    /// Tells it to end, and does not wait for that.
    pub(crate) fn close_by_itself(&mut self) {
        self.tell("close");
        self.process.as_mut().expect("it runs").is_closing = true;
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.is_closing)
    }

    /// The state it keeps on disk is lost.
    pub(crate) fn lose_state(&self) {
        assert!(!self.is_up(), "it runs");
        match std::fs::remove_dir_all(&self.directory) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{error}"),
            _ => {}
        }
    }

    /// A file of the state it keeps on disk is cut, removed, or has a bit flipped, or its stores are gone altogether. What
    /// happened, if anything is there.
    pub(crate) fn damage_state(&self, dice: &mut fastrand::Rng) -> Option<String> {
        assert!(!self.is_up(), "it runs");
        let mut files = Vec::new();
        let mut folders = vec![self.directory.clone()];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = std::fs::read_dir(&folder) else { continue };
            for path in entries.map(|entry| entry.unwrap().path()) {
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                if path.is_dir() {
                    folders.push(path);
                } else if !UNTOUCHED.contains(&name.as_str()) {
                    files.push(path);
                }
            }
        }
        files.sort();
        let path = dice.choice(&files)?;
        let shown = path.strip_prefix(&self.directory).unwrap().display();
        let mut bytes = std::fs::read(path).unwrap();
        // A file may be longer than what is written to it.
        let written = bytes.chunks(ZEROS.len()).rposition(|chunk| *chunk != ZEROS[..chunk.len()]);
        let written = written.map_or(0, |last| bytes.len().min((last + 1) * ZEROS.len()));
        let written = bytes[..written].iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let at = dice.usize(..written.max(1));
        Some(match dice.u32(0..10) {
            0 => {
                let stores =
                    files.iter().find_map(|path| path.ancestors().find(|path| path.ends_with("stores")));
                std::fs::remove_dir_all(stores?).unwrap();
                "the stores are removed".to_string()
            }
            1..4 => {
                std::fs::remove_file(path).unwrap();
                format!("{shown} is removed")
            }
            4..7 => {
                OpenOptions::new().write(true).open(path).unwrap().set_len(at as u64).unwrap();
                format!("{shown} is cut at {at} of {written}")
            }
            _ if written > 0 => {
                bytes[at] ^= 1 << dice.u32(0..8);
                std::fs::write(path, bytes).unwrap();
                format!("a bit of {shown} is flipped at {at} of {written}")
            }
            _ => return None,
        })
    }

    /// Waits until the process that was started last has all its tasks.
    pub(crate) async fn started(&mut self, host: &Host) {
        let answer = self.answer(host, "start").await;
        assert_eq!(answer, "started", "instance {}", self.number);
    }

    /// Asks it something.
    pub(crate) async fn ask(&mut self, host: &Host, question: &str) -> String {
        let process = self.process.as_mut().expect("it runs");
        while let Ok(answer) = process.answers.try_recv() {
            assert_eq!(answer, "started", "nobody has asked");
        }
        writeln!(process.questions, "{question}").unwrap_or_else(|error| {
            panic!("instance {} takes no question: {error}", self.number);
        });
        loop {
            let answer = self.answer(host, question).await;
            if answer != "started" {
                return answer;
            }
        }
    }

    async fn answer(&mut self, host: &Host, question: &str) -> String {
        let number = self.number;
        let process = self.process.as_mut().expect("it runs");
        match host.timeout(PATIENCE, process.answers.recv()).await {
            Ok(Some(answer)) => answer,
            Ok(None) => panic!("instance {number} has ended instead of an answer to `{question}`"),
            Err(_) => panic!("instance {number} does not answer `{question}`"),
        }
    }

    /// Ends it as an operator does.
    pub(crate) async fn close(&mut self, host: &Host) {
        assert_eq!(self.ask(host, "close").await, "closed");
        let mut process = self.process.take().expect("it runs");
        let status = process.child.wait().unwrap();
        assert!(status.success(), "instance {} has ended with {status}", self.number);
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.kill();
    }
}
