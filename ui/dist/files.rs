// Written by ui/vite.config.ts.
&[
    File::new("access-BanWMODQ.js", "text/javascript; charset=utf-8", "\"3069fb58af23c8b1\"", include_bytes!("access-BanWMODQ.js")),
    File::new("codemirror-q2NowWBs.js", "text/javascript; charset=utf-8", "\"fd21aa0ba847e29c\"", include_bytes!("codemirror-q2NowWBs.js")),
    File::new("decisions-DKOErLcb.js", "text/javascript; charset=utf-8", "\"ce71fa5fe9788a6a\"", include_bytes!("decisions-DKOErLcb.js")),
    File::new("explain-C04MuNY9.css", "text/css; charset=utf-8", "\"d44f8cfe998a3554\"", include_bytes!("explain-C04MuNY9.css")),
    File::new("explain-CmoGNhZ_.js", "text/javascript; charset=utf-8", "\"6d4d63c6dfef2137\"", include_bytes!("explain-CmoGNhZ_.js")),
    File::new("explanation-BbF4NTCY.js", "text/javascript; charset=utf-8", "\"b8faebae32948511\"", include_bytes!("explanation-BbF4NTCY.js")),
    File::new("grid-rjcbP6Tn.js", "text/javascript; charset=utf-8", "\"6c83e0b23afeffdd\"", include_bytes!("grid-rjcbP6Tn.js")),
    File::new("icon-DiEKJrbj.svg", "image/svg+xml", "\"63349ae419b69e71\"", include_bytes!("icon-DiEKJrbj.svg")),
    File::new("index-BBVeAQvD.css", "text/css; charset=utf-8", "\"86bc871ff06cb45c\"", include_bytes!("index-BBVeAQvD.css")),
    File::new("index-CGyzDGpJ.js", "text/javascript; charset=utf-8", "\"220fa91335326d7f\"", include_bytes!("index-CGyzDGpJ.js")),
    File::new("index.html", "text/html; charset=utf-8", "\"e7379b35d37810d4\"", include_bytes!("index.html")),
    File::new("map-x3gciXa2.js", "text/javascript; charset=utf-8", "\"255fdd77dea09cad\"", include_bytes!("map-x3gciXa2.js")),
    File::new("pending-BOqdXJGQ.css", "text/css; charset=utf-8", "\"401a50f177c4d0b0\"", include_bytes!("pending-BOqdXJGQ.css")),
    File::new("pending-CR4Scu8q.js", "text/javascript; charset=utf-8", "\"b93f81b537f7806e\"", include_bytes!("pending-CR4Scu8q.js")),
    File::new("policy-D_Y26EsZ.js", "text/javascript; charset=utf-8", "\"647be0be6b91b49c\"", include_bytes!("policy-D_Y26EsZ.js")),
    File::new("whatif-BLhqU1-d.js", "text/javascript; charset=utf-8", "\"6cecb55ab112525f\"", include_bytes!("whatif-BLhqU1-d.js")),
]
