//! The one row that says where the journal stands.

use rusqlite::{Connection, Row};

use crate::schema::{signed, unsigned};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) acknowledged: u64,
    pub(crate) last_sequence: u64,
    pub(crate) events: u64,
    pub(crate) unacknowledged: u64,
    pub(crate) evicted: u64,
    pub(crate) last_channel: u32,
    pub(crate) sound_until: Option<u64>,
    pub(crate) complete_from: u64,
    pub(crate) wanted: Option<i64>,
    pub(crate) covered: Option<i64>,
    pub(crate) reserved: u64,
    pub(crate) clean: bool,
}

impl State {
    pub(crate) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        connection.query_row(
            "SELECT acknowledged, last_sequence, events, unacknowledged, evicted, last_channel, sound_until,
             complete_from, wanted, covered, reserved, clean FROM state WHERE id = 1",
            [],
            |row| {
                Ok(Self {
                    acknowledged: number(row, 0)?,
                    last_sequence: number(row, 1)?,
                    events: number(row, 2)?,
                    unacknowledged: number(row, 3)?,
                    evicted: number(row, 4)?,
                    last_channel: u32::try_from(number(row, 5)?).unwrap_or(u32::MAX),
                    sound_until: row.get::<_, Option<i64>>(6)?.map(unsigned),
                    complete_from: number(row, 7)?,
                    wanted: row.get(8)?,
                    covered: row.get(9)?,
                    reserved: number(row, 10)?,
                    clean: row.get(11)?,
                })
            },
        )
    }

    pub(crate) fn save(&self, connection: &Connection) -> rusqlite::Result<()> {
        connection
            .prepare_cached(
                "UPDATE state SET acknowledged = ?1, last_sequence = ?2, events = ?3, unacknowledged = ?4, evicted = ?5,
                 last_channel = ?6, sound_until = ?7, complete_from = ?8, wanted = ?9, covered = ?10, reserved = ?11,
                 clean = ?12 WHERE id = 1",
            )?
            .execute(rusqlite::params![
                signed(self.acknowledged),
                signed(self.last_sequence),
                signed(self.events),
                signed(self.unacknowledged),
                signed(self.evicted),
                self.last_channel,
                self.sound_until.map(signed),
                signed(self.complete_from),
                self.wanted,
                self.covered,
                signed(self.reserved),
                self.clean,
            ])?;
        Ok(())
    }
}

fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get(column).map(unsigned)
}
