//! What was measured, what was to be reached, and whether it was.

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Milliseconds,
    Microseconds,
    Kibibytes,
    PerSecond,
    Calls,
}

impl Unit {
    /// Behind a number.
    pub fn name(self) -> &'static str {
        match self {
            Self::Milliseconds => "ms",
            Self::Microseconds => "µs",
            Self::Kibibytes => "KiB",
            Self::PerSecond => "per second",
            Self::Calls => "calls",
        }
    }

    /// A number of it, as exact as it makes sense.
    pub fn print(self, value: f64) -> String {
        match self {
            Self::Milliseconds if value < 100.0 => format!("{value:.2}"),
            Self::Milliseconds | Self::Microseconds | Self::Kibibytes | Self::PerSecond | Self::Calls => {
                format!("{value:.0}")
            }
        }
    }
}

/// What one runtime took, each time, the least first.
#[derive(Debug, Clone)]
pub struct Sampled {
    pub runtime: String,
    values: Vec<f64>,
}

impl Sampled {
    pub fn new(runtime: &str, mut values: Vec<f64>) -> Self {
        values.sort_unstable_by(f64::total_cmp);
        Self { runtime: runtime.to_owned(), values }
    }

    /// The values, the least first.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    pub fn of(&self, statistic: Statistic) -> f64 {
        let percent = match statistic {
            Statistic::Median => 50,
            Statistic::P99 => 99,
        };
        self.values[(self.values.len() * percent).div_ceil(100).max(1) - 1]
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statistic {
    Median,
    P99,
}

/// What Orlop is to be beside a peer.
#[derive(Debug, Clone, Copy)]
pub struct Goal {
    pub peer: &'static str,
    pub statistic: Statistic,
    pub bound: Bound,
}

/// A ratio to the peer.
#[derive(Debug, Clone, Copy)]
pub enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl Goal {
    /// At most that part of the peer's median.
    pub fn at_most(peer: &'static str, ratio: f64) -> Self {
        Self { peer, statistic: Statistic::Median, bound: Bound::AtMost(ratio) }
    }

    /// In signs.
    pub fn print(self) -> String {
        let of = if self.statistic == Statistic::P99 { "'s p99" } else { "" };
        match self.bound {
            Bound::AtMost(ratio) => format!("≤ {ratio:.2} × {}{of}", self.peer),
            Bound::AtLeast(ratio) => format!("≥ {ratio:.2} × {}{of}", self.peer),
        }
    }

    fn is_met_by(self, ratio: f64) -> bool {
        match self.bound {
            Bound::AtMost(most) => ratio <= most,
            Bound::AtLeast(least) => ratio >= least,
        }
    }
}

/// One thing, measured with every runtime that can do it.
#[derive(Debug, Clone)]
pub struct Measured {
    pub what: String,
    pub unit: Unit,
    pub goals: Vec<Goal>,
    pub sampled: Vec<Sampled>,
}

impl Measured {
    /// Times with one goal.
    pub fn times(what: impl Into<String>, goal: Goal, sampled: Vec<Sampled>) -> Self {
        Self { what: what.into(), unit: Unit::Milliseconds, goals: vec![goal], sampled }
    }

    /// What that runtime took.
    pub fn by(&self, runtime: &str) -> Option<&Sampled> {
        self.sampled.iter().find(|sampled| sampled.runtime == runtime)
    }

    /// Orlop's ratio to the peer, and whether that is what was to be reached.
    pub fn verdict(&self, goal: Goal) -> Option<(f64, bool)> {
        let ratio = self.by("orlop")?.of(goal.statistic) / self.by(goal.peer)?.of(goal.statistic);
        Some((ratio, goal.is_met_by(ratio)))
    }
}
