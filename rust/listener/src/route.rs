//! Which paths take events, whose words they are in and what their clients expect to hear.

use unmogrowp_core::inlet::SEGMENT_CALLS;
use unmogrowp_intake::Inlet;

/// A path that takes events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) inlet: Inlet<'static>,
    /// What its clients hear instead of the receipt.
    pub(crate) thanks: Option<&'static [u8]>,
}

/// The route of a path, with or without a slash at its end.
pub(crate) fn find(path: &str) -> Option<Route> {
    let path = path.strip_suffix('/').unwrap_or(path);
    if path == "/v1/events" {
        return Some(Route { inlet: Inlet::Native, thanks: None });
    }
    if path == "/batch" {
        return Some(Route { inlet: Inlet::PostHog, thanks: Some(br#"{"status":1}"#) });
    }
    let called = path.strip_prefix("/v1/")?;
    let call = SEGMENT_CALLS.into_iter().find(|call| *call == called)?;
    Some(Route { inlet: Inlet::Segment(call), thanks: Some(br#"{"success":true}"#) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_known_with_and_without_its_last_slash() {
        for path in ["/v1/events", "/v1/events/"] {
            assert_eq!(find(path).map(|route| route.inlet), Some(Inlet::Native));
        }
        assert_eq!(find("/batch").map(|route| route.inlet), Some(Inlet::PostHog));
        assert_eq!(find("/v1/track").map(|route| route.inlet), Some(Inlet::Segment("track")));
        for path in
            ["", "/", "/v1", "/v1/", "/v1/event", "/v1/events//", "/v1/track/x", "/V1/events"]
        {
            assert_eq!(find(path), None, "{path}");
        }
    }
}
