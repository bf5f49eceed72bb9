//! The format in which `go tool pprof` reads profiles.
//!
//! Source: `proto/profile.proto` of github.com/google/pprof. The crate pprof writes it too, but a compiler of protobuf would be built for that.

use std::{
    collections::{HashMap, hash_map::Entry},
    time::SystemTime,
};

use pprof::{Report, Symbol};

use crate::wire::protobuf::Encoder;

/// The profile of samples: how many there were of each stack, and the CPU time that they stand for, in nanoseconds.
pub(super) fn profile(report: &Report) -> Vec<u8> {
    let (mut texts, mut places) = (Texts::default(), Places::default());
    let mut profile = Encoder::default();
    let period = 1_000_000_000 / i64::from(report.timing.frequency);
    let kind = |of, unit| Encoder::default().number(1, of).number(2, unit);
    let cpu = kind(texts.index("cpu"), texts.index("nanoseconds"));
    profile = profile.message(1, &kind(texts.index("samples"), texts.index("count"))).message(1, &cpu);
    for (stack, count) in &report.data {
        let count = *count as i64;
        let mut sample = Encoder::default();
        for symbol in stack.frames.iter().flatten() {
            sample = sample.number(1, places.id(symbol, &mut texts));
        }
        let (key, thread) = (texts.index("thread"), texts.index(&stack.thread_name_or_id()));
        sample = sample.number(2, count).number(2, count.saturating_mul(period));
        profile = profile.message(2, &sample.message(3, &Encoder::default().number(1, key).number(2, thread)));
    }
    for location in &places.locations {
        profile = profile.message(4, location);
    }
    for function in &places.functions {
        profile = profile.message(5, function);
    }
    let start = report.timing.start_time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    profile = profile.number(9, start.as_nanos() as i64).number(10, report.timing.duration.as_nanos() as i64);
    profile = profile.message(11, &cpu).number(12, period);
    for text in &texts.table {
        profile = profile.bytes(6, text.as_bytes());
    }
    profile.into_bytes()
}

/// Texts, each once. They are told by index.
struct Texts {
    table: Vec<String>,
    known: HashMap<String, i64>,
}

impl Default for Texts {
    fn default() -> Self {
        // The first one must be empty.
        Self { table: vec![String::new()], known: HashMap::new() }
    }
}

impl Texts {
    fn index(&mut self, text: &str) -> i64 {
        if let Some(index) = self.known.get(text) {
            return *index;
        }
        let index = self.table.len() as i64;
        self.table.push(text.to_owned());
        self.known.insert(text.to_owned(), index);
        index
    }
}

/// Functions, and a location of each: where it was seen first.
#[derive(Default)]
struct Places {
    functions: Vec<Encoder>,
    locations: Vec<Encoder>,
    known: HashMap<Vec<u8>, i64>,
}

impl Places {
    /// The identity of a function, which is that of its location too.
    fn id(&mut self, symbol: &Symbol, texts: &mut Texts) -> i64 {
        let id = self.known.len() as i64 + 1;
        match self.known.entry(symbol.raw_name().to_owned()) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                let function = Encoder::default().number(1, id).number(2, texts.index(&symbol.name()));
                let function = function.number(3, texts.index(&symbol.sys_name()));
                self.functions.push(function.number(4, texts.index(&symbol.filename())));
                let line = Encoder::default().number(1, id).number(2, symbol.lineno());
                self.locations.push(Encoder::default().number(1, id).message(4, &line));
                *new.insert(id)
            }
        }
    }
}
