//! The option `backfill`.

use genesys_notifications_proto::backfill::{BackfillConfig, Recipe};
use serde::Deserialize;

use crate::options::{OptionError, ms};

/// Margin and latency are at most a day.
const LONGEST_MS: u64 = 24 * 60 * 60 * 1000;

/// How gaps are filled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BackfillOptions {
    pub(crate) rules: BackfillConfig,
    /// The caller has a function of its own.
    pub(crate) custom: bool,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct BackfillSection {
    /// Default: all.
    recipes: Option<Vec<Recipe>>,
    custom: Option<bool>,
    margin_ms: Option<f64>,
    latency_ms: Option<f64>,
}

/// Checks what JavaScript sent; times out of range are brought into it.
pub(crate) fn read(given: BackfillSection) -> Result<BackfillOptions, OptionError> {
    let mut rules = BackfillConfig::default();
    if let Some(margin_ms) = ms("backfill.marginMs", given.margin_ms, 0)? {
        rules.margin_ms = margin_ms.min(LONGEST_MS);
    }
    if let Some(latency_ms) = ms("backfill.latencyMs", given.latency_ms, 0)? {
        rules.latency_ms = latency_ms.min(LONGEST_MS);
    }
    let custom = given.custom.unwrap_or(false);
    if let Some(recipes) = given.recipes {
        rules.recipes = recipes;
    }
    if rules.recipes.is_empty() && !custom {
        return Err(OptionError::new(
            "backfill.recipes",
            "is empty, and there is no function: nothing would fill",
        ));
    }
    Ok(BackfillOptions { rules, custom })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str) -> Result<BackfillOptions, OptionError> {
        read(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn what_is_not_said_has_defaults_and_nothing_to_do_is_refused() {
        let all = of("{}").unwrap();
        assert_eq!((all.rules, all.custom), (BackfillConfig::default(), false));
        let some = of(r#"{"recipes":["presence"],"marginMs":5,"latencyMs":1e12}"#).unwrap();
        assert_eq!(some.rules.recipes, [Recipe::Presence]);
        assert_eq!((some.rules.margin_ms, some.rules.latency_ms), (5, LONGEST_MS));
        assert!(of(r#"{"recipes":[],"custom":true}"#).unwrap().custom);
        assert_eq!(of(r#"{"recipes":[]}"#).unwrap_err().path, "backfill.recipes");
        assert_eq!(of(r#"{"marginMs":-1}"#).unwrap_err().path, "backfill.marginMs");
    }
}
