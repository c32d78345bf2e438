//! An object among the options, read member by member. Its errors name the member and never repeat a value: some are secrets.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::options::OptionError;

/// What is left of an object; what nobody takes is no option.
pub(crate) struct Given<'a> {
    path: String,
    members: BTreeMap<String, &'a RawValue>,
}

impl<'a> Given<'a> {
    /// # Errors
    /// If the value is not an object.
    pub(crate) fn read(path: &str, value: &'a RawValue) -> Result<Self, OptionError> {
        match serde_json::from_str(value.get()) {
            Ok(members) => Ok(Self { path: path.to_owned(), members }),
            Err(_) => Err(OptionError::new(path, "must be an object")),
        }
    }

    /// A member; null counts as absent.
    pub(crate) fn take(&mut self, name: &str) -> Option<&'a RawValue> {
        self.take_even_null(name).filter(|value| value.get() != "null")
    }

    pub(crate) fn take_even_null(&mut self, name: &str) -> Option<&'a RawValue> {
        self.members.remove(name)
    }

    /// # Errors
    /// If it is there and no text.
    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, OptionError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        serde_json::from_str(value.get()).map(Some).map_err(|_| self.error(name, "must be a text"))
    }

    /// # Errors
    /// If it is there and neither `true` nor `false`.
    pub(crate) fn flag(&mut self, name: &str) -> Result<Option<bool>, OptionError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        serde_json::from_str(value.get()).map(Some).map_err(|_| self.error(name, "must be true or false"))
    }

    /// # Errors
    /// If it is there and no number.
    pub(crate) fn number(&mut self, name: &str) -> Result<Option<f64>, OptionError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        serde_json::from_str(value.get()).map(Some).map_err(|_| self.error(name, "must be a number"))
    }

    /// # Errors
    /// If it is there and no object.
    pub(crate) fn object(&mut self, name: &str) -> Result<Option<Self>, OptionError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        Self::read(&format!("{}.{name}", self.path), value).map(Some)
    }

    /// # Errors
    /// If anything is left.
    pub(crate) fn end(self) -> Result<(), OptionError> {
        match self.members.keys().next() {
            Some(name) => Err(self.error(name, "is not an option")),
            None => Ok(()),
        }
    }

    pub(crate) fn error(&self, name: &str, why: impl Into<String>) -> OptionError {
        OptionError::new(format!("{}.{name}", self.path), why)
    }
}
