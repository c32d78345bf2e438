use genesys_notifications_sim::{Rule, SimError, SimOptions, Simulator, Traffic};
use napi::bindgen_prelude::retain_current_module_for_unload_safety;
use napi_derive::napi;
use serde::Serialize;

use crate::error::{Result, internal, invalid_at, json};

/// A fake Genesys Cloud in this process, on a thread of its own.
#[napi]
pub struct NativeSimulator {
    simulator: Simulator,
}

#[napi]
impl NativeSimulator {
    /// Starts it; `options` is JSON.
    #[napi(constructor, catch_unwind)]
    pub fn new(options: String) -> Result<Self> {
        // Its thread outlives the call that made it, and must not outlive the code it runs.
        retain_current_module_for_unload_safety();
        let options = SimOptions::from_json(&options).map_err(|error| refused(&error))?;
        let simulator = Simulator::start(options).map_err(|error| refused(&error))?;
        Ok(Self { simulator })
    }

    /// `{"urls":{…},"credentials":{…},"certificate":…}`.
    #[napi(catch_unwind)]
    pub fn address(&self) -> Result<String> {
        json(&Address {
            urls: self.simulator.urls(),
            credentials: self.simulator.credentials(),
            certificate: self.simulator.certificate(),
        })
    }

    /// Publishes an event, generated if no body is given, and returns its number.
    #[napi(catch_unwind)]
    pub fn publish(&self, topic: String, body: Option<String>) -> Result<f64> {
        let seq = self.simulator.publish(&topic, body.as_deref()).map_err(|error| refused(&error))?;
        Ok(seq as f64)
    }

    /// Sets a fault, given as JSON, and returns its id.
    #[napi(catch_unwind)]
    pub fn fault(&self, rule: String) -> Result<f64> {
        let rule = Rule::from_json(&rule).map_err(|error| refused(&error))?;
        let id = self.simulator.fault(rule).map_err(|error| refused(&error))?;
        Ok(id as f64)
    }

    /// Lifts one fault; false if there is none of that id.
    #[napi(catch_unwind)]
    pub fn clear_fault(&self, id: f64) -> bool {
        self.simulator.clear_fault(id as u64)
    }

    /// Lifts all faults.
    #[napi(catch_unwind)]
    pub fn clear_faults(&self) {
        self.simulator.clear_faults();
    }

    /// Publishes generated events in the background, as the JSON says, and returns the traffic's id.
    #[napi(catch_unwind)]
    pub fn traffic(&self, traffic: String) -> Result<f64> {
        let traffic = Traffic::from_json(&traffic).map_err(|error| refused(&error))?;
        let id = self.simulator.traffic(traffic).map_err(|error| refused(&error))?;
        Ok(id as f64)
    }

    /// Stops one traffic; false if it is not running.
    #[napi(catch_unwind)]
    pub fn stop_traffic(&self, id: f64) -> bool {
        self.simulator.stop_traffic(id as u64)
    }

    /// What happened since the log with this revision, as JSON.
    #[napi(catch_unwind)]
    pub fn log(&self, revision: f64) -> Result<String> {
        json(&self.simulator.log_since(revision as u64))
    }

    /// Totals, as JSON.
    #[napi(catch_unwind)]
    pub fn counts(&self) -> Result<String> {
        json(&self.simulator.counts())
    }

    /// The live channels, as JSON.
    #[napi(catch_unwind)]
    pub fn channels(&self) -> Result<String> {
        json(&self.simulator.channels())
    }

    /// Closes every socket and port; the log stays readable.
    #[napi(catch_unwind)]
    pub fn stop(&self) {
        self.simulator.stop();
    }
}

/// All topic templates of the service.
#[napi(catch_unwind)]
pub fn topic_templates() -> Vec<String> {
    Simulator::topic_templates().map(str::to_owned).collect()
}

#[derive(Serialize)]
struct Address<'a> {
    urls: &'a genesys_notifications_sim::Urls,
    credentials: &'a genesys_notifications_sim::Credentials,
    certificate: Option<&'a str>,
}

fn refused(error: &SimError) -> crate::error::Error {
    match error {
        SimError::Invalid { path, message } => invalid_at(path, message),
        other => internal(other),
    }
}
