import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.opensearch.common.settings.Settings;
import org.opensearch.node.InternalSettingsPreparer;
import org.opensearch.node.Node;
import org.opensearch.transport.Netty4Plugin;

/** One node of OpenSearch on loopback, without TLS and login: FOLDER PORT [SETTING=VALUE]... It ends when its standard input does. */
class OneNode {
  public static void main(String[] args) throws Exception {
    var settings = Settings.builder()
        .put("path.home", args[0])
        .put("cluster.name", "tests")
        .put("node.name", "one")
        .put("discovery.type", "single-node")
        .put("http.host", "127.0.0.1")
        .put("http.port", args[1])
        .put("transport.host", "127.0.0.1")
        .put("transport.port", "0")
        .put("http.type", "netty4")
        .put("transport.type", "netty4")
        .put("cluster.routing.allocation.disk.threshold_enabled", "false");
    for (int at = 2; at < args.length; at++) {
      var pair = args[at].split("=", 2);
      settings.put(pair[0], pair[1]);
    }
    var environment = InternalSettingsPreparer.prepareEnvironment(settings.build(), Map.of(), Path.of(args[0], "config"), () -> "one");
    // The constructor with plugins that are on the class path is not public.
    var node = new Node(environment, List.of(Netty4Plugin.class), false) {};
    node.start();
    System.out.println("started");
    while (System.in.read() != -1) {}
    node.close();
  }
}
