//! Where an event came from, and whether that makes it a touch.

use super::field;
use super::line::Line;
use super::object::inside;
use crate::schema::at;

/// Raw JSON values that say where an event came from.
#[derive(Clone, Copy, Default)]
pub(super) struct Origin<'a> {
    pub(super) source: Option<&'a str>,
    pub(super) medium: Option<&'a str>,
    pub(super) campaign: Option<&'a str>,
    pub(super) adset: Option<&'a str>,
    pub(super) creative: Option<&'a str>,
    pub(super) site_id: Option<&'a str>,
    pub(super) click_id: Option<&'a str>,
}

/// The event table's own names, which a client may use in the properties of a touch.
const OWN: [&str; 7] = ["source", "medium", "campaign", "adset", "creative", "site_id", "click_id"];

impl<'a> Origin<'a> {
    /// Name and type of the event, into `line`; the origin it has in the end is given back.
    ///
    /// The type is the client's `event_type` property, else the SDK's word for the call. Only a
    /// click or impression that says where it came from is a touch: the word alone is as likely
    /// to be a button's, and a touch without a channel would take credit from those with one.
    pub(super) fn classify(
        self,
        line: &mut Line<'_>,
        event: Option<&'a str>,
        properties: Option<&'a str>,
        call: &str,
    ) -> Self {
        let [said] = inside(properties, &["event_type"]);
        let said = field::short(said, 256);
        let touch = [said.clone(), field::short(event, 256)]
            .into_iter()
            .flatten()
            .find(|word| matches!(word.as_ref(), "click" | "impression"));
        let origin = if touch.is_some() { self.or(own(properties)) } else { self };
        let touch = touch.filter(|_| field::short(origin.source, 256).is_some());
        let said = said.filter(|word| !matches!(word.as_ref(), "click" | "impression"));
        line.raw(at::EVENT_NAME, event);
        if event.is_some() {
            line.value(at::EVENT_TYPE, touch.or(said).as_deref().unwrap_or(call));
        }
        origin
    }

    pub(super) fn or(self, other: Self) -> Self {
        Self {
            source: self.source.or(other.source),
            medium: self.medium.or(other.medium),
            campaign: self.campaign.or(other.campaign),
            adset: self.adset.or(other.adset),
            creative: self.creative.or(other.creative),
            site_id: self.site_id.or(other.site_id),
            click_id: self.click_id.or(other.click_id),
        }
    }

    pub(super) fn write(self, line: &mut Line<'_>) {
        line.text(at::SOURCE, self.source);
        line.text(at::MEDIUM, self.medium);
        line.text(at::CAMPAIGN, self.campaign);
        line.text(at::ADSET, self.adset);
        line.text(at::CREATIVE, self.creative);
        line.text(at::SITE_ID, self.site_id);
        line.text(at::CLICK_ID, self.click_id);
    }
}

fn own(properties: Option<&str>) -> Origin<'_> {
    let [source, medium, campaign, adset, creative, site_id, click_id] = inside(properties, &OWN);
    Origin { source, medium, campaign, adset, creative, site_id, click_id }
}
