use super::{Gateway, Stage, options::TokenEnd, upgrade::Refusal};
use crate::{socket::End, state::State};

/// What gateways of this kind close with when a token is no good.
pub(crate) const UNAUTHORIZED: u16 = 4401;

/// What is wrong with a token.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Standing {
    Expired,
    Unknown,
    None,
}

impl Standing {
    fn name(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Unknown => "unknown",
            Self::None => "none",
        }
    }

    pub(crate) fn refusal(self) -> Refusal {
        match self {
            Self::Expired => Refusal::new(401, "token_expired", "the token has ended"),
            Self::Unknown => Refusal::new(401, "invalid_token", "the token is not known"),
            Self::None => Refusal::new(401, "unauthorized", "a token is required"),
        }
    }
}

impl State {
    /// The number of a token that is presented, if it is live.
    pub(crate) fn judge_token(&mut self, record: u64, secret: Option<&str>) -> Result<u64, Standing> {
        let judged = match secret {
            None => Err(Standing::None),
            Some(secret) => match self.tokens.by_secret(secret) {
                Some(token) => Ok(token.number),
                None if self.tokens.has_ended(secret) => Err(Standing::Expired),
                None => Err(Standing::Unknown),
            },
        };
        let name = judged.err().map_or("valid", Standing::name);
        self.log.update_gateway(record, |r| r.presented(name));
        judged
    }

    /// A token has ended under the connections that are open with it.
    pub(crate) fn gateway_token_ended(&mut self, number: u64) {
        let holds = |gateway: &Gateway| gateway.token == Some(number);
        for socket in self.gateways_that(holds) {
            match self.settings.options.gateway.token_end {
                TokenEnd::Close => {
                    let end = End::new("tokenEnded").code(UNAUTHORIZED).reason("token expired");
                    self.close_socket(socket, end);
                }
                TokenEnd::Frame => {
                    if let Some(gateway) = self.gateway_mut(socket) {
                        gateway.stage = Stage::Mute;
                        gateway.token = None;
                    }
                    self.send_plain(socket, Standing::Expired.refusal().to_json().to_string());
                }
                TokenEnd::Ignore => {}
            }
        }
    }
}
