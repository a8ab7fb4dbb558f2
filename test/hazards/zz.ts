import { fork } from "node:child_process"; import { once } from "node:events";
import { startServer } from "../server/server.ts"; import { createFuzzer, fuzzHttp1, fuzzHttp2, seededRandom } from "../server/header-fuzz.ts"; import { TaskExecutionService } from "../../gen/taskledger/v1/task_execution_service_pb.ts";
if (process.argv[2]==="serve") { const s = await startServer({tasks:{getTaskExecution:()=>({}),createTaskExecution:()=>({}),listTaskExecutions:()=>({})}});
 process.on("message",()=>{ (globalThis as any).gc(); (globalThis as any).gc(); const lines=s.log.length; const bytes=s.log.reduce((a,l)=>a+l.length,0); (s.log as string[]).length=0; (globalThis as any).gc(); const m=process.memoryUsage(); const r:Record<string,number>={}; for(const k of process.getActiveResourcesInfo()) r[k]=(r[k]??0)+1; process.send!({rss:m.rss>>20,heap:m.heapUsed>>20,ext:m.external>>20,ab:m.arrayBuffers>>20,lines,bytes:bytes>>20,r}) }); process.send!(s.port); 
} else {
 const c=fork(import.meta.filename,["serve"],{execArgv:["--expose-gc"]}); const [port]=await once(c,"message") as [number];
 const f=createFuzzer(seededRandom(1),TaskExecutionService.methods.map(m=>`/${TaskExecutionService.typeName}/${m.name}`).concat("/grpc.health.v1.Health/Watch"));
 const mem=async()=>{c.send("m");const [x]=await once(c,"message");console.log(JSON.stringify(x))};
 await mem(); for(let i=0;i<4;i++){ await fuzzHttp2(`http://127.0.0.1:${port}`,f,20000,{}); await mem(); } for(let i=0;i<3;i++){ await fuzzHttp1(port,f,10000,{}); await mem(); } c.kill(); process.exit();
}
