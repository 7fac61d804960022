//! Random cases.

use std::time::Duration;

use proptest::{collection::vec, prelude::*, sample::select};

use super::{
    apis::Api,
    case::{Case, How, SIDES, Wire, crossing},
    script::{
        End, Script,
        Step::{self, *},
    },
};

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1..9u8).prop_map(Stanzas),
        1 => (1..3u8).prop_map(Split),
        1 => Just(SplitTag),
        1 => Just(Half),
        1 => (0..4u8).prop_map(Coalesced),
        2 => Just(Tag),
        1 => Just(Error),
        1 => Just(Garbage),
        2 => (1..20u8).prop_map(Delay),
        4 => Just(Read),
        1 => Just(ReadSlowly),
        1 => Just(HalfClose),
        1 => Just(Notify),
        1 => Just(Cut),
        1 => Just(Cancel),
    ]
}

fn script() -> impl Strategy<Value = Script> {
    let end = prop_oneof![4 => Just(End::Close), 2 => Just(End::Reset), 2 => Just(End::Hold), 1 => Just(End::Stall)];
    (vec(step(), 0..8), end)
}

pub const HOWS: [How; 6] = [How::Close, How::Close, How::Close, How::Close, How::HalfClose, How::Detach];

pub fn case(wires: &'static [Wire], patience: Duration) -> impl Strategy<Value = Case> {
    let how = (select(&SIDES[..]), select(wires), select(&Api::ALL[..]), any::<bool>(), select(&HOWS[..]));
    (how, script(), select(&[0, 0, 500, 400_000][..]), 0..6u32)
        .prop_map(move |((side, wire, api, ready, how), script, farewell, hurry)| {
            let patience = if hurry == 5 { Duration::ZERO } else { patience };
            Case { script: crossing(side, script), side, wire, api, how, farewell, ready, patience }
        })
        .prop_filter("no such thing", Case::exists)
}
