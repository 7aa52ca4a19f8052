package redistest
import ("testing";"time")
func TestZ(t *testing.T){
 s:=Start(t,map[string]string{"key-load-delay":"300"})
 s.Do("EVAL", "for i = 1, 3000 do redis.call('SET', i, i) end", 0)
 s.Kill(); s.launch()
 b:=time.Now()
 for i:=0;i<400;i++{ _,err:=s.do("PING"); t.Log(time.Since(b),err); if err==nil{break}; }
}
