//! Times of many records, in milliseconds: their average and percentiles.

/// How long each took.
#[derive(Debug, Default)]
pub(super) struct Latencies {
    pub(super) all_ms: Vec<f64>,
}

impl Latencies {
    pub(super) fn average(&self) -> f64 {
        if self.all_ms.is_empty() { 0.0 } else { self.all_ms.iter().sum::<f64>() / self.all_ms.len() as f64 }
    }

    pub(super) fn max(&self) -> f64 {
        self.all_ms.iter().copied().fold(0.0, f64::max)
    }

    /// These shares of all are not slower.
    pub(super) fn percentiles<const N: usize>(&mut self, shares: [f64; N]) -> [f64; N] {
        self.all_ms.sort_unstable_by(f64::total_cmp);
        let last = self.all_ms.len().saturating_sub(1);
        shares.map(|share| {
            let at = ((self.all_ms.len() as f64 * share) as usize).min(last);
            self.all_ms.get(at).copied().unwrap_or(0.0)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_what_was_measured() {
        let mut latencies = Latencies { all_ms: (1..=100).rev().map(f64::from).collect() };
        assert_eq!((latencies.average(), latencies.max()), (50.5, 100.0));
        assert_eq!(latencies.percentiles([0.0, 0.5, 0.99, 1.0]), [1.0, 51.0, 100.0, 100.0]);
        assert_eq!(Latencies::default().percentiles([0.5]), [0.0]);
    }
}
