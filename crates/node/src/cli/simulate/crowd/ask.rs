//! Arguments of an experiment, from words.

use std::time::Duration;

use sim::crowd::Cut;

/// Steps of the number of nodes.
const STEPS: [usize; 10] = [3, 10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 50_000];
/// More is lost on no network that is worth the name.
const LOSS_MAX: f64 = 50.0;
/// A cluster runs no longer than this.
const TIME_MAX: Duration = Duration::from_secs(3_600);

/// How many nodes: up to a number, or a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Nodes {
    /// So many at most, gone up to in steps.
    UpTo(usize),
    /// These, as they are.
    These(Vec<usize>),
}

impl Nodes {
    /// Up to a single number in steps; a list as it is.
    pub(super) fn sizes(&self) -> Vec<usize> {
        match self {
            Self::UpTo(most) => {
                let steps = STEPS.iter().copied().filter(|step| *step >= 10 && step < most);
                steps.chain([*most]).collect()
            }
            Self::These(list) => list.clone(),
        }
    }
}

pub(super) fn nodes(text: &str) -> Result<Nodes, String> {
    let number = |text: &str| match text.trim().parse::<usize>() {
        Ok(0) => Err("a cluster has one node at least".to_owned()),
        Ok(number) => Ok(number),
        Err(_) => Err(format!("{text:?} is not a number of nodes, nor a list such as 10,100")),
    };
    if !text.contains(',') {
        return number(text).map(Nodes::UpTo);
    }
    // A list of one ends with a comma.
    let list = text.strip_suffix(',').unwrap_or(text);
    list.split(',').map(number).collect::<Result<_, _>>().map(Nodes::These)
}

/// In hundredths, as `30%` or `30`.
fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim();
    let percent: f64 = number.parse().map_err(|_| format!("{text:?} is not a share such as 1%"))?;
    if (0.0..=100.0).contains(&percent) {
        Ok(percent)
    } else {
        Err(format!("{text} is not between 0% and 100%"))
    }
}

/// In thousandths.
pub(super) fn loss(text: &str) -> Result<u32, String> {
    let percent = percent(text)?;
    if percent > LOSS_MAX {
        return Err(format!("at most {LOSS_MAX}% may be lost: beyond that nothing is to be learned"));
    }
    let permille = percent * 10.0;
    if (permille - permille.round()).abs() > 1e-9 {
        return Err(format!("{text} is too fine: tenths of a percent are what is lost"));
    }
    Ok(permille.round() as u32)
}

pub(super) fn partition(text: &str) -> Result<Cut, String> {
    let wrong = || format!("{text:?} is not a partition such as 30%:10s: how many are cut off, and how long");
    let (share, time) = text.split_once(':').ok_or_else(wrong)?;
    let share = percent(share)?;
    if !(1.0..=99.0).contains(&share) || share.fract() != 0.0 {
        return Err(format!("{share}% is not a whole number between 1% and 99%"));
    }
    let time = self::time(time)?;
    Ok(Cut { percent: share as u32, time })
}

pub(super) fn time(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| format!("{text:?}: {error}"))?;
    if time > TIME_MAX {
        return Err(format!("{text} is too long: an hour at most"));
    }
    Ok(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_of_nodes_is_gone_up_to_and_a_list_is_taken_as_it_is() {
        assert_eq!(nodes("1000").unwrap().sizes(), [10, 30, 100, 300, 1_000]);
        assert_eq!(nodes("42").unwrap().sizes(), [10, 30, 42]);
        assert_eq!(nodes("4").unwrap().sizes(), [4]);
        assert_eq!(nodes("5,2").unwrap().sizes(), [5, 2]);
        assert_eq!(nodes("1000,").unwrap().sizes(), [1_000]);
        for wrong in ["0", "", ",", "5,,", "5,0", "-1", "many", "1.5"] {
            assert!(nodes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn loss_is_a_share_of_at_most_a_half() {
        assert_eq!((loss("1%"), loss("0.5"), loss("0%")), (Ok(10), Ok(5), Ok(0)));
        for wrong in ["101%", "-1%", "60%", "0.01%", "NaN", "x", ""] {
            assert!(loss(wrong).is_err(), "{wrong}");
        }
        assert!(loss("150%").unwrap_err().contains("between 0% and 100%"));
    }

    #[test]
    fn a_partition_is_a_share_and_a_time() {
        assert_eq!(partition("30%:10s"), Ok(Cut { percent: 30, time: Duration::from_secs(10) }));
        for wrong in ["30%", "0%:1s", "100%:1s", "200%:1s", "30%:", "30%:2h", "1.5%:1s", ":"] {
            assert!(partition(wrong).is_err(), "{wrong}");
        }
    }
}
