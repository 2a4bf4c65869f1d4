//! The pages of the project's `docs` folder that concern a user of this crate.
//!
//! Rules and facts have ids, which the API's pages cite: `O` rules on endpoints, `N`, `D`, `M` and
//! `F` rules on Services, `C` rules on clients ([openyurt]), `K` and `S` rules of other annotations
//! ([dialects]), `R` rules on emitted events ([streams]), `B` facts about Kubernetes' bytes
//! ([wire]).

pub mod streams {
    #![doc = "[glossary]: super::glossary"]
    #![doc = "[Services and the kubernetes slice]: \
              super::openyurt#services-and-the-kubernetes-slice"]
    #![doc = "\n"]
    #![doc = include_str!("../docs/streams.md")]
}

pub mod config {
    #![doc = "[dialects]: super::dialects"]
    #![doc = "[OpenYurt's rules]: super::openyurt"]
    #![doc = "[which client gets which rewrite]: super::openyurt#which-client-gets-which-rewrite"]
    #![doc = "[topology fallback]: super::streams#topology-fallback"]
    #![doc = "[client state]: super::streams#client-state"]
    #![doc = "[Services and the kubernetes slice]: \
              super::openyurt#services-and-the-kubernetes-slice"]
    #![doc = "\n"]
    #![doc = include_str!("../docs/config.md")]
}

pub mod openyurt {
    #![doc = "[dialects]: super::dialects"]
    #![doc = "[topology fallback]: super::streams#topology-fallback"]
    #![doc = "[Services that come and go]: super::streams#services-that-come-and-go"]
    #![doc = "\n"]
    #![doc = include_str!("../docs/openyurt.md")]
}

pub mod dialects {
    #![doc = "[OpenYurt's rules]: super::openyurt"]
    #![doc = "[topology fallback]: super::streams#topology-fallback"]
    #![doc = "\n"]
    #![doc = include_str!("../docs/dialects.md")]
}

pub mod wire {
    #![doc = "[streams]: super::streams"]
    #![doc = "\n"]
    #![doc = include_str!("../docs/wire.md")]
}

pub mod facts {
    #![doc = "[glossary]: super::glossary"]
    #![doc = "\n"]
    #![doc = include_str!("../docs/facts.md")]
}

pub mod glossary {
    #![doc = include_str!("../docs/glossary.md")]
}
