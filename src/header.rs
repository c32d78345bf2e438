use genesys_notifications_client::{Batch, Remains};

/// The row before those of a batch. JavaScript reads it in `lib/inlet.js` and `lib/slice.js`, in this order.
#[derive(Default)]
pub(crate) struct Header {
    pub(crate) events: usize,
    /// Announced so far.
    pub(crate) names: usize,
    pub(crate) shapes: usize,
    pub(crate) has_events: bool,
    pub(crate) has_controls: bool,
    pub(crate) is_ascii: bool,
    pub(crate) frames_length: usize,
    /// Of what is behind the frames.
    pub(crate) values_length: usize,
}

impl Header {
    pub(crate) fn of(batch: &Batch) -> Self {
        Self {
            events: batch.len(),
            is_ascii: batch.is_ascii,
            frames_length: batch.text.len(),
            values_length: batch.values.len(),
            ..Self::default()
        }
    }

    pub(crate) fn with(self, remains: Remains) -> Self {
        Self { has_events: remains.events, has_controls: remains.controls, ..self }
    }

    pub(crate) fn write(&self, row: &mut [i32]) {
        let columns = [
            self.events as i32,
            self.names as i32,
            self.shapes as i32,
            i32::from(self.has_events),
            i32::from(self.has_controls),
            i32::from(self.is_ascii),
            self.frames_length as i32,
            self.values_length as i32,
        ];
        row[..columns.len()].copy_from_slice(&columns);
    }
}
