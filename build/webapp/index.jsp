<%-- Who answers, and how the request arrived there. --%>
<%@ page contentType="text/plain; charset=UTF-8" trimDirectiveWhitespaces="true" %>
<%
    response.setHeader("Cache-Control", "no-store");
    response.setHeader("X-Content-Type-Options", "nosniff");

    Integer count = (Integer) session.getAttribute("count");
    count = count == null ? 1 : count + 1;
    session.setAttribute("count", count);

    String id = session.getId();
    int dot = id.lastIndexOf('.');
    String user = request.getRemoteUser();

    out.println("name: " + System.getProperty("usher.name", "-"));
    out.println("route: " + (dot < 0 ? "-" : id.substring(dot + 1)));
    /* The request's protocol is the client's where AJP carried it, so
       build/tomcat tells which connector this Tomcat has. */
    out.println("connector: " + System.getProperty("usher.connector", "-"));
    out.println("protocol: " + request.getProtocol());
    out.println("client: " + request.getRemoteAddr());
    out.println("scheme: " + request.getScheme());
    out.println("secure: " + request.isSecure());
    out.println("host: " + request.getHeader("Host"));
    out.println("server: " + request.getServerName() + ":" + request.getServerPort());
    out.println("path: " + request.getRequestURI());
    out.println("user: " + (user == null ? "-" : user));
    out.println("session: " + id);
    out.println("count: " + count);
%>
