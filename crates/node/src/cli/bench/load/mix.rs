//! Which requests a load is made of.

use std::fmt;
use std::str::FromStr;

use super::super::data::Dice;

/// A kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Operation {
    Put,
    Get,
    Delete,
}

impl Operation {
    pub(crate) const ALL: [Self; 3] = [Self::Put, Self::Get, Self::Delete];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Get => "get",
            Self::Delete => "delete",
        }
    }

    pub(crate) fn method(self) -> &'static str {
        match self {
            Self::Put => "PUT",
            Self::Get => "GET",
            Self::Delete => "DELETE",
        }
    }
}

/// Requests by weight, such as `put=50,get=50`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mix {
    weights: Vec<(Operation, u64)>,
    total: u64,
}

/// The largest weight of one operation.
const WEIGHT_MAX: u64 = 1_000_000;

impl Mix {
    /// Only this.
    pub(crate) fn only(operation: Operation) -> Self {
        Self { weights: vec![(operation, 1)], total: 1 }
    }

    /// Which request comes next.
    pub(crate) fn pick(&self, dice: &mut Dice) -> Operation {
        let mut at = dice.below(self.total);
        for (operation, weight) in &self.weights {
            match at.checked_sub(*weight) {
                Some(rest) => at = rest,
                None => return *operation,
            }
        }
        Operation::Get
    }

    /// Whether this is part of it.
    pub(crate) fn has(&self, operation: Operation) -> bool {
        self.weights.iter().any(|(known, weight)| *known == operation && *weight > 0)
    }
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no mix: write one like put=50,get=50 (of put, get and delete)");
        let mut weights: Vec<(Operation, u64)> = Vec::new();
        for part in text.split(',') {
            let (word, weight) = part.split_once('=').ok_or_else(wrong)?;
            let known = Operation::ALL.into_iter().find(|operation| operation.word() == word.trim());
            let operation = known.ok_or_else(wrong)?;
            let weight: u64 = weight.trim().parse().map_err(|_| wrong())?;
            if weight > WEIGHT_MAX || weights.iter().any(|(other, _)| *other == operation) {
                return Err(wrong());
            }
            weights.push((operation, weight));
        }
        let total = weights.iter().map(|(_, weight)| weight).sum();
        if total == 0 { Err(wrong()) } else { Ok(Self { weights, total }) }
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> =
            self.weights.iter().map(|(operation, weight)| format!("{}={weight}", operation.word())).collect();
        formatter.write_str(&parts.join(","))
    }
}
