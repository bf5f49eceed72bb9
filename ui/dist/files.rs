// Written by ui/vite.config.ts.
&[
    File::new("access-D7jw7Jey.js", "text/javascript; charset=utf-8", "\"f22f8e0b11f78d90\"", include_bytes!("access-D7jw7Jey.js")),
    File::new("codemirror-BfEE16dA.js", "text/javascript; charset=utf-8", "\"f07b1848517087fd\"", include_bytes!("codemirror-BfEE16dA.js")),
    File::new("decisions-zhRcLNOJ.js", "text/javascript; charset=utf-8", "\"bb774a43776f8e81\"", include_bytes!("decisions-zhRcLNOJ.js")),
    File::new("explain-C04MuNY9.css", "text/css; charset=utf-8", "\"d44f8cfe998a3554\"", include_bytes!("explain-C04MuNY9.css")),
    File::new("explain-DMx6-5Lb.js", "text/javascript; charset=utf-8", "\"e9f8655cef23359e\"", include_bytes!("explain-DMx6-5Lb.js")),
    File::new("explanation-BbF4NTCY.js", "text/javascript; charset=utf-8", "\"b8faebae32948511\"", include_bytes!("explanation-BbF4NTCY.js")),
    File::new("grid-CRyn1K3c.js", "text/javascript; charset=utf-8", "\"f2e736752b878269\"", include_bytes!("grid-CRyn1K3c.js")),
    File::new("icon-DiEKJrbj.svg", "image/svg+xml", "\"63349ae419b69e71\"", include_bytes!("icon-DiEKJrbj.svg")),
    File::new("index-BBVeAQvD.css", "text/css; charset=utf-8", "\"86bc871ff06cb45c\"", include_bytes!("index-BBVeAQvD.css")),
    File::new("index-a0btzvt9.js", "text/javascript; charset=utf-8", "\"0c684de1d1ccae55\"", include_bytes!("index-a0btzvt9.js")),
    File::new("index.html", "text/html; charset=utf-8", "\"4d29c52e279d90ab\"", include_bytes!("index.html")),
    File::new("map-CX4cR7SM.js", "text/javascript; charset=utf-8", "\"c4059f742aadcbc1\"", include_bytes!("map-CX4cR7SM.js")),
    File::new("pending-BOqdXJGQ.css", "text/css; charset=utf-8", "\"401a50f177c4d0b0\"", include_bytes!("pending-BOqdXJGQ.css")),
    File::new("pending-CQVhArPL.js", "text/javascript; charset=utf-8", "\"61ba0506fad302b0\"", include_bytes!("pending-CQVhArPL.js")),
    File::new("policy-Bih5_35e.js", "text/javascript; charset=utf-8", "\"91b9bad6fdeb0a64\"", include_bytes!("policy-Bih5_35e.js")),
    File::new("whatif-DkeMXzDZ.js", "text/javascript; charset=utf-8", "\"519880e82463a1b0\"", include_bytes!("whatif-DkeMXzDZ.js")),
]
