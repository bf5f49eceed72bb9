// Written by ui/vite.config.ts.
&[
    File::new("access-CUg8u2dP.js", "text/javascript; charset=utf-8", "\"5f405f5604dff341\"", include_bytes!("access-CUg8u2dP.js")),
    File::new("icon-DiEKJrbj.svg", "image/svg+xml", "\"63349ae419b69e71\"", include_bytes!("icon-DiEKJrbj.svg")),
    File::new("index-BBVeAQvD.css", "text/css; charset=utf-8", "\"86bc871ff06cb45c\"", include_bytes!("index-BBVeAQvD.css")),
    File::new("index-fezG3N6a.js", "text/javascript; charset=utf-8", "\"0ab8c28e729f94a4\"", include_bytes!("index-fezG3N6a.js")),
    File::new("index.html", "text/html; charset=utf-8", "\"bb78226b519ab270\"", include_bytes!("index.html")),
    File::new("map-Ca7e42_z.js", "text/javascript; charset=utf-8", "\"e766b80bdf870561\"", include_bytes!("map-Ca7e42_z.js")),
    File::new("pending-A0O0wjJ_.js", "text/javascript; charset=utf-8", "\"fbc75f47f8cea00b\"", include_bytes!("pending-A0O0wjJ_.js")),
    File::new("pending-BOqdXJGQ.css", "text/css; charset=utf-8", "\"401a50f177c4d0b0\"", include_bytes!("pending-BOqdXJGQ.css")),
]
